//! Orders: one, or a burst of them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{Json, Router, extract::State, routing::post};
use reqwest::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::interval};
use uuid::Uuid;

use super::{super::shared::Shared, failure::Failure};
use crate::{
    http,
    orders::{Client, Mix, Pace, Schedule, Sort},
};

/// Orders of a burst.
const MAX_BURST: u64 = 5000;
/// Orders per second.
const MAX_RATE: u32 = 200;
/// Time between two reports of a burst.
const REPORT: Duration = Duration::from_millis(500);
/// The client's name in the user agent.
const CLIENT: &str = "console";

/// The burst that runs, if one does.
#[derive(Default)]
struct Burst(Mutex<Option<Arc<Notify>>>);

#[derive(Deserialize)]
struct Wanted {
    sort: String,
}

#[derive(Deserialize)]
struct WantedBurst {
    rate: u32,
    count: u64,
    #[serde(flatten)]
    mix: Shares,
}

#[derive(Clone, Copy, Deserialize)]
struct Shares {
    declined: u8,
    invalid: u8,
}

/// The state of a burst.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    is_running: bool,
    count: u64,
    rate: u32,
    answered: u64,
    unexpected: u64,
    /// The newest unexpected answer.
    reason: Option<String>,
}

type Placing = State<(Arc<Shared>, Arc<Burst>)>;

/// The routes of orders.
pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/api/orders", post(place))
        .route("/api/burst", post(begin).delete(end))
        .with_state((shared.clone(), Arc::<Burst>::default()))
}

/// Places one order, or with one key twice; returns the gateway's answers.
async fn place(State((shared, _)): Placing, Json(wanted): Json<Wanted>) -> Result<Json<Vec<Value>>, Failure> {
    let all = [Sort::Sample, Sort::Good, Sort::Declined, Sort::Invalid, Sort::Repeated];
    let sort = all.into_iter().find(|sort| sort.name() == wanted.sort);
    let sort = sort.ok_or_else(|| Failure::bad("there is no such sort of order"))?;
    let client = client(&shared)?;
    let (key, times) = (Uuid::new_v4().to_string(), if sort == Sort::Repeated { 2 } else { 1 });
    let mut answers = Vec::new();
    for _ in 0..times {
        let mut request = client.post().header("idempotency-key", &key);
        if let Some(body) = sort.body() {
            request = request.json(&body);
        }
        let response = request.send().await;
        let response = response.map_err(|error| anyhow::anyhow!("the gateway {}", http::brief(&error)))?;
        answers.push(read(response).await?);
    }
    Ok(Json(answers))
}

async fn read(response: Response) -> Result<Value> {
    let status = response.status().as_u16();
    let replayed = response.headers().contains_key("idempotent-replayed");
    let body: Value = response.json().await.context("cannot read the gateway's answer")?;
    Ok(json!({"status": status, "replayed": replayed, "body": body}))
}

/// Begins a burst.
async fn begin(State((shared, burst)): Placing, Json(wanted): Json<WantedBurst>) -> Result<(), Failure> {
    let WantedBurst { rate, count, mix: Shares { declined, invalid } } = wanted;
    if !(1..=MAX_RATE).contains(&rate) || !(1..=MAX_BURST).contains(&count) {
        return Err(Failure::bad(format!("at most {MAX_RATE} orders a second and {MAX_BURST} in a burst")));
    }
    let mix = Mix { declined, invalid, repeated: 0 };
    mix.check()?;
    let client = client(&shared)?;
    let stop = Arc::new(Notify::new());
    {
        let mut running = burst.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_some() {
            return Err(Failure::busy("a burst is under way"));
        }
        *running = Some(stop.clone());
    }
    tokio::spawn(async move {
        run(&shared, &client, mix, Schedule { pace: Pace::Rate(rate), count: Some(count) }, rate, &stop)
            .await;
        *burst.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    });
    Ok(())
}

async fn run(shared: &Shared, client: &Client, mix: Mix, schedule: Schedule, rate: u32, stop: &Notify) {
    let count = schedule.count.unwrap_or_default();
    let report = Mutex::new(Report { is_running: true, count, rate, ..Report::default() });
    let now = || report.lock().unwrap_or_else(PoisonError::into_inner);
    let show = async {
        let mut ticks = interval(REPORT);
        loop {
            ticks.tick().await;
            let state = now().clone();
            shared.hub.set("burst", &state);
        }
    };
    let place = client.run(
        schedule,
        || mix.draw(),
        stop.notified(),
        |answered| {
            let mut report = now();
            report.answered += 1;
            if let Err(reason) = answered.outcome {
                report.unexpected += 1;
                report.reason = Some(reason);
            }
        },
    );
    tokio::select! {
        _ = place => {}
        () = show => {}
    }
    let ended = Report { is_running: false, ..now().clone() };
    shared.hub.set("burst", &ended);
}

/// Ends the burst; orders that are under way are answered.
async fn end(State((_, burst)): Placing) {
    if let Some(stop) = &*burst.0.lock().unwrap_or_else(PoisonError::into_inner) {
        stop.notify_one();
    }
}

fn client(shared: &Shared) -> Result<Client> {
    Client::new(shared.places()?.local.gateway_url(), CLIENT)
}
