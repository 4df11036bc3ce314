//! Clients that place one order after the other, as fast as they are answered.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use stacks::{
    latencies::Latencies,
    orders::{Answered, Client, Pace, Schedule, Sort},
};
use tokio::time::sleep;

/// Concurrent clients: enough to keep two cores busy and the groups of the store full.
const CLIENTS: usize = 64;

/// The answers to all orders.
pub(super) struct Answers {
    /// From the first order to the last answer.
    pub(super) took: Duration,
    pub(super) latencies: Latencies,
}

impl Answers {
    /// The latency that this share of the orders kept to, in milliseconds.
    pub(super) fn quantile_ms(&self, share: f64) -> f64 {
        self.latencies.quantile(share).unwrap_or_default().as_secs_f64() * 1e3
    }
}

/// Places orders for this long.
///
/// # Errors
/// When an order is not accepted: a benchmark of refusals measures nothing.
pub(super) async fn place_orders(gateway: &str, duration: Duration) -> Result<Answers> {
    let client = Client::new(gateway, "bench")?;
    let mut latencies = Latencies::new()?;
    let mut refused = None;
    let begun = Instant::now();
    let schedule = Schedule { pace: Pace::Clients(CLIENTS), count: None };
    let seen = |answered: Answered| match answered.outcome {
        Ok(_) => latencies.record(answered.latency),
        Err(reason) => refused = Some(reason),
    };
    client.run(schedule, || Sort::Sample, sleep(duration), seen).await;
    ensure!(refused.is_none(), "an order was not accepted: {}", refused.unwrap_or_default());
    Ok(Answers { took: begun.elapsed(), latencies })
}
