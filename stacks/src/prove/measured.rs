//! The metrics of the orders: each is counted once, and an exemplar leads from each histogram to a trace.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

use super::{
    orders::Placed,
    report::{Check, Missing},
};
use crate::backends::{Metrics, Series, Total};

/// The counters that grow by one with each order.
const COUNTERS: [Series; 5] = [
    Series { service: "order-gateway", name: "orders_created_total", labels: &[] },
    Series {
        service: "payment-service",
        name: "payment_processed_total",
        labels: &[("outcome", "succeeded")],
    },
    Series {
        service: "payment-service",
        name: "messaging_published_total",
        labels: &[("outcome", "confirmed")],
    },
    Series { service: "email-service", name: "messaging_received_total", labels: &[("outcome", "accepted")] },
    Series { service: "email-service", name: "emails_sent_total", labels: &[("outcome", "sent")] },
];

/// The histograms that must have an exemplar of these orders.
const HISTOGRAMS: [Series; 3] = [
    Series {
        service: "order-gateway",
        name: "http_request_duration_seconds",
        labels: &[("route", "/create-order")],
    },
    Series {
        service: "payment-service",
        name: "http_request_duration_seconds",
        labels: &[("route", "/process-payment")],
    },
    Series { service: "email-service", name: "messaging_process_duration_seconds", labels: &[] },
];

const PAUSE: Duration = Duration::from_millis(250);

/// The counters before the first order.
pub(super) struct Measured<'a> {
    metrics: &'a dyn Metrics,
    before: Vec<f64>,
}

impl<'a> Measured<'a> {
    /// Reads the counters; where they are scraped, from the next scrape.
    pub(super) async fn before(metrics: &'a dyn Metrics, within: Duration) -> Result<Self> {
        let (now, deadline) = (SystemTime::now(), Instant::now() + within);
        let mut before = Vec::new();
        for counter in &COUNTERS {
            let total = loop {
                match metrics.total(counter).await {
                    Ok(total) if total.at >= now => break total,
                    Ok(_) if Instant::now() > deadline => {
                        bail!(
                            "cannot read {counter} of {}: not scraped for {} s",
                            counter.service,
                            within.as_secs()
                        )
                    }
                    Err(error) if Instant::now() > deadline => {
                        return Err(error).context("cannot read the counters");
                    }
                    _ => sleep(PAUSE).await,
                }
            };
            before.push(total.value);
        }
        Ok(Self { metrics, before })
    }

    /// The checks of the metrics, once every order is answered and processed.
    pub(super) async fn after(&self, placed: &[Placed], within: Duration) -> Vec<Check> {
        let (now, begun) = (SystemTime::now(), Instant::now());
        let mut checks = Vec::new();
        for (counter, before) in COUNTERS.iter().zip(&self.before) {
            let read = async || self.metrics.total(counter).await;
            // A counter that is too low may still grow; one that is too high stays.
            let is_complete = |total: &Total| total.at >= now && total.value - before >= placed.len() as f64;
            let total = until(read, is_complete, begun + within).await;
            let grown = total.as_ref().map_or(0.0, |total| (total.value - before).max(0.0));
            let mut missing = Missing::default();
            match total {
                Err(error) => missing.add(&format!("{error:#}"), ""),
                Ok(_) if grown == placed.len() as f64 => {}
                Ok(_) => missing.add(&format!("{counter} of {} grew by {grown}", counter.service), ""),
            }
            checks.push(Check::at_once(
                counter.name,
                (grown as usize, placed.len()),
                begun.elapsed(),
                missing,
            ));
        }
        let traces: BTreeSet<&str> = placed.iter().map(|placed| placed.order.trace_id.as_str()).collect();
        for histogram in &HISTOGRAMS {
            checks.push(self.exemplar(histogram, &traces, begun, within).await);
        }
        checks
    }

    async fn exemplar(
        &self,
        histogram: &Series,
        traces: &BTreeSet<&str>,
        begun: Instant,
        within: Duration,
    ) -> Check {
        let read = async || self.metrics.exemplars(histogram).await;
        let is_ours = |found: &BTreeSet<String>| found.iter().any(|trace| traces.contains(trace.as_str()));
        let found = until(read, is_ours, begun + within).await;
        let Series { service, .. } = histogram;
        let mut missing = Missing::default();
        match &found {
            Err(error) => missing.add(&format!("{error:#}"), ""),
            Ok(found) if is_ours(found) => {}
            Ok(_) => {
                missing.add(&format!("no exemplar in {histogram} of {service} leads to these orders"), "")
            }
        }
        let there = usize::from(missing.is_empty());
        Check::at_once(&format!("exemplar of {service}"), (there, 1), begun.elapsed(), missing)
    }
}

/// The first good value of `read`, or the last one at the deadline.
async fn until<T>(
    read: impl AsyncFn() -> Result<T>,
    is_good: impl Fn(&T) -> bool,
    deadline: Instant,
) -> Result<T> {
    loop {
        let found = read().await;
        if found.as_ref().is_ok_and(&is_good) || Instant::now() > deadline {
            return found;
        }
        sleep(PAUSE).await;
    }
}
