//! `stacks load`: places orders at a steady rate, whether the earlier ones are answered or not.

mod record;

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use self::record::Record;
use crate::{
    local::LocalStack,
    orders::{Client, Mix, Pace, Schedule},
    output::show,
    progress::Progress,
    settings::Options,
    signals::Interruptions,
    style::Style,
};

/// Time between two live lines.
const PERIOD: Duration = Duration::from_secs(1);

/// The rate, the length and the mix of the load.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// Orders per second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000), value_name = "N")]
    pub rate: u32,
    /// Length: 30s, 10m, 2h
    #[arg(long = "for", default_value = "1m", value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub duration: Duration,
    #[expect(missing_docs, reason = "a doc comment here would replace that of the command in --help")]
    #[command(flatten)]
    pub mix: Mix,
}

/// Places orders and shows their answers; true if every answer was the expected one.
///
/// # Errors
/// When no gateway answers.
pub async fn run(options: &Options, args: &LoadArgs) -> Result<bool> {
    args.mix.check()?;
    let client = Client::new(LocalStack::open(options)?.gateway_url(), "load")?;
    client.expect_gateway().await?;
    let mut progress = Progress::for_terminal();
    progress.begin("place orders");
    let record = RefCell::new(Record::new()?);
    let took = place(&client, args, &record, &mut progress).await?;
    let record = record.into_inner();
    progress.done(&format!("{} orders", record.count()));
    show(&record.summary(args.rate, took, Style::for_stdout()))?;
    Ok(record.is_clean())
}

/// Places the orders. The first signal ends the schedule, the second one the wait for answers.
async fn place(
    client: &Client,
    args: &LoadArgs,
    record: &RefCell<Record>,
    progress: &mut Progress,
) -> Result<Duration> {
    let (mut first, mut second) = (Interruptions::new()?, Interruptions::new()?);
    let progress = RefCell::new(progress);
    let begun = Instant::now();
    let stop = async {
        first.next().await;
        progress.borrow_mut().note("interrupted; waiting for answers, a second Ctrl-C leaves them out");
    };
    let abandon = async {
        second.next().await;
        second.next().await
    };
    let live = async {
        loop {
            sleep(PERIOD).await;
            let line = record.borrow_mut().live(PERIOD);
            let (seconds, length) = (begun.elapsed().as_secs() as usize, args.duration.as_secs() as usize);
            progress.borrow_mut().at(seconds, length, &line);
        }
    };
    let count = (args.duration.as_secs_f64() * f64::from(args.rate)).round() as u64;
    let schedule = Schedule { pace: Pace::Rate(args.rate), count: Some(count) };
    Ok(tokio::select! {
        took = client.run(schedule, || args.mix.draw(), stop, |answered| record.borrow_mut().add(answered)) => took,
        never = live => never,
        _ = abandon => begun.elapsed(),
    })
}
