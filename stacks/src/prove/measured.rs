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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::orders::Order;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    /// A store in which every counter grows by one with the order, but for this one.
    struct Store {
        growth: (&'static str, f64),
        exemplar_of_mailer: &'static str,
        read: AtomicUsize,
    }

    #[async_trait]
    impl Metrics for Store {
        async fn total(&self, counter: &Series) -> Result<Total> {
            let is_before = self.read.fetch_add(1, Ordering::Relaxed) < COUNTERS.len();
            let growth = if counter.name == self.growth.0 { self.growth.1 } else { 1.0 };
            Ok(Total { value: if is_before { 7.0 } else { 7.0 + growth }, at: SystemTime::now() })
        }

        async fn exemplars(&self, histogram: &Series) -> Result<BTreeSet<String>> {
            let trace = if histogram.service == "email-service" { self.exemplar_of_mailer } else { TRACE };
            Ok([trace.to_owned()].into())
        }
    }

    /// What is missing of one order.
    async fn problems(growth: (&'static str, f64), exemplar_of_mailer: &'static str) -> Vec<String> {
        let store = Store { growth, exemplar_of_mailer, read: AtomicUsize::new(0) };
        let within = Duration::from_millis(1);
        let measured = Measured::before(&store, within).await.unwrap();
        let order = Order { order_id: "o-1".into(), trace_id: TRACE.into() };
        let checks = measured.after(&[Placed { order, at: Instant::now() }], within).await;
        assert_eq!(checks.len(), COUNTERS.len() + HISTOGRAMS.len());
        checks.iter().flat_map(Check::problems).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn orders_that_are_counted_once_lack_nothing() {
        assert!(problems(("", 1.0), TRACE).await.is_empty());
    }

    #[tokio::test]
    async fn a_counter_that_counts_twice_or_not_at_all_is_named() {
        for (growth, text) in [(2.0, "2"), (0.0, "0")] {
            let expected = format!("orders_created_total of order-gateway grew by {text}");
            assert_eq!(problems(("orders_created_total", growth), TRACE).await, [expected]);
        }
    }

    #[tokio::test]
    async fn exemplars_of_other_traces_are_named() {
        let found = problems(("", 1.0), "4bf92f3577b34da6a3ce929d0e0e4736").await;
        let expected =
            "no exemplar in messaging_process_duration_seconds of email-service leads to these orders";
        assert_eq!(found, [expected]);
    }
}
