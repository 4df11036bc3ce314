//! `stacks load`: orders at a steady rate, whatever becomes of the earlier ones. A latency counts from the moment at which
//! the order was due: who waits for a slow gateway before asking again measures only its good moments.

mod mix;
mod record;

use std::{
    convert::Infallible,
    io::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use reqwest::Client;
use tokio::{
    task::JoinSet,
    time::{Instant as TokioInstant, sleep, sleep_until},
};

use self::{
    mix::{Mix, Sort},
    record::Record,
};
use crate::{
    http,
    local::{Options, Stack},
    progress::Progress,
    style::Style,
};

/// Orders that may be unanswered at once: a bound for this process, far above what any gateway lets in.
const MOST_UNDER_WAY: usize = 10_000;
/// How often the live line changes.
const PERIOD: Duration = Duration::from_secs(1);

/// How much load, and of what.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadWanted {
    /// Orders each second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000), value_name = "N")]
    pub rate: u32,
    /// How long: 30s, 10m, 2h
    #[arg(long = "for", default_value = "1m", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub duration: Duration,
    #[expect(missing_docs, reason = "a doc comment here would replace that of the command in --help")]
    #[command(flatten)]
    pub mix: Mix,
}

/// Places orders, shows how it goes, sums it up; whether everything was answered as it should be.
pub async fn run(options: &Options, wanted: &LoadWanted) -> Result<bool> {
    wanted.mix.check()?;
    let gateway = Stack::open(options)?.gateway_url();
    let client = http::synthetic_client("load")?;
    http::probe(&client, &format!("{gateway}/livez"))
        .await
        .map_err(|reason| anyhow::anyhow!("the gateway at {gateway} {reason}; is the stack up? `make up`"))?;
    let mut progress = Progress::for_terminal();
    progress.begin("load");
    let load =
        Load { url: format!("{gateway}/create-order"), client, record: Arc::new(Mutex::new(Record::new()?)) };
    let took = load.send(wanted, &mut progress).await;
    progress.done(&format!("{} orders", load.record().sent()));
    let record = load.record();
    let summary = record.summary(wanted.rate, took, Style::for_stdout());
    std::io::stdout().lock().write_all(summary.as_bytes()).context("cannot write to standard output")?;
    Ok(record.is_clean())
}

/// What every order needs; cheap to clone.
#[derive(Clone)]
struct Load {
    url: String,
    client: Client,
    record: Arc<Mutex<Record>>,
}

impl Load {
    /// Sends until the time is up or somebody interrupts; how long that was.
    async fn send(&self, wanted: &LoadWanted, progress: &mut Progress) -> Duration {
        let begun = Instant::now();
        let mut under_way = JoinSet::new();
        tokio::select! {
            () = self.begin_all(wanted, begun, &mut under_way) => {}
            never = self.show(wanted, begun, progress) => match never {},
            _ = tokio::signal::ctrl_c() => progress.note("interrupted: waiting for what is under way"),
        }
        let took = begun.elapsed();
        tokio::select! {
            () = async { while under_way.join_next().await.is_some() {} } => {}
            _ = tokio::signal::ctrl_c() => progress.note("interrupted again: what is unanswered is left out"),
        }
        took
    }

    async fn begin_all(&self, wanted: &LoadWanted, begun: Instant, under_way: &mut JoinSet<()>) {
        let orders = (wanted.duration.as_secs_f64() * f64::from(wanted.rate)).round() as u64;
        for number in 0..orders {
            let due = begun + Duration::from_secs_f64(number as f64 / f64::from(wanted.rate));
            sleep_until(TokioInstant::from_std(due)).await;
            while under_way.try_join_next().is_some() {}
            let sort = wanted.mix.choose();
            if under_way.len() < MOST_UNDER_WAY {
                let load = self.clone();
                under_way.spawn(async move { load.place(sort, due).await });
            } else {
                let reason = format!("not sent: {MOST_UNDER_WAY} orders are unanswered");
                self.record().add(sort, due.elapsed(), Err(reason));
            }
        }
    }

    async fn place(&self, sort: Sort, due: Instant) {
        let answer = match self.client.post(&self.url).json(&sort.order()).send().await {
            Ok(response) => mix::judge(sort, response).await,
            Err(error) => Err(format!("no answer: the gateway {}", http::brief(&error))),
        };
        self.record().add(sort, due.elapsed(), answer);
    }

    /// Shows the last second, each second.
    async fn show(&self, wanted: &LoadWanted, begun: Instant, progress: &mut Progress) -> Infallible {
        let length = wanted.duration.as_secs() as usize;
        loop {
            sleep(PERIOD).await;
            let line = self.record().live(PERIOD);
            progress.at(begun.elapsed().as_secs() as usize, length, &line);
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        // Nothing is left half done under this lock.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, http::StatusCode, routing::post};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_a_stall_holds_up_is_counted_from_when_it_was_due() {
        const STALL: Duration = Duration::from_millis(600);
        let begun = Instant::now();
        // Nobody is answered before the stall is over, and everybody at once after it.
        let stall = async move || {
            sleep(STALL.saturating_sub(begun.elapsed())).await;
            StatusCode::CREATED
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(stall))).await });

        let record = Arc::new(Mutex::new(Record::new().unwrap()));
        let load = Load { url, client: http::synthetic_client("load").unwrap(), record };
        let mix = Mix { declined: 0, invalid: 0 };
        let wanted = LoadWanted { rate: 100, duration: Duration::from_secs(1), mix };
        load.send(&wanted, &mut Progress::silent()).await;
        let record = load.record();
        assert!(record.is_clean() && record.sent() == 100, "{}", record.sent());
        // Those that were due in the first half of the stall, at least; a closed loop would have sent one of them.
        let late = record.slower_than(STALL / 2);
        assert!(late >= 25, "{late} orders were late");
    }
}
