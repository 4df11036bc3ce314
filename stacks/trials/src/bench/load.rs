//! Clients that place one order after the other, as fast as they are answered.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, StatusCode};
use tokio::task::JoinSet;

/// Clients at once: enough to keep both cores busy, and the store's groups full.
const CLIENTS: usize = 64;

/// What the clients saw.
pub(super) struct Answers {
    /// From the first request to the last answer.
    pub(super) took: Duration,
    /// How long each order took, the fastest first.
    pub(super) latencies: Vec<Duration>,
}

impl Answers {
    /// The latency that this share of the orders kept below, in milliseconds.
    pub(super) fn percentile_ms(&self, share: f64) -> f64 {
        let rank = (self.latencies.len() as f64 * share).ceil() as usize;
        let latency = self.latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default();
        latency.as_secs_f64() * 1e3
    }
}

/// Places orders for this long.
///
/// # Errors
/// When any of them is not accepted: a benchmark of refusals is none.
pub(super) async fn place_orders(gateway: &str, duration: Duration) -> Result<Answers> {
    let url = format!("{gateway}/create-order");
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let http = Client::builder().no_proxy().build().context("cannot make an HTTP client")?;
        let url = url.clone();
        clients.spawn(async move {
            let mut latencies = Vec::new();
            while begun.elapsed() < duration {
                let asked = Instant::now();
                let answer = http.post(&url).send().await.context("an order was not answered")?;
                let status = answer.status();
                ensure!(status == StatusCode::CREATED, "an order was answered {status}");
                answer.bytes().await.context("an answer broke off")?;
                latencies.push(asked.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(client) = clients.join_next().await {
        latencies.extend(client??);
    }
    latencies.sort_unstable();
    Ok(Answers { took: begun.elapsed(), latencies })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_seen() {
        let latencies = (1..=100).map(Duration::from_millis).collect();
        let answers = Answers { took: Duration::from_secs(1), latencies };
        assert_eq!((answers.percentile_ms(0.5), answers.percentile_ms(0.99)), (50.0, 99.0));
        let none = Answers { took: Duration::ZERO, latencies: Vec::new() };
        assert_eq!(none.percentile_ms(0.5), 0.0);
    }
}
