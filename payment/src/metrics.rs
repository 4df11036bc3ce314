//! What payment counts.

use payment_api::http::Outcome;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Registry};
use telemetry::metrics::{DURATION_BUCKETS, counters, gauge, register};

/// The metrics of this service; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    payments: IntCounterVec,
    events: IntCounterVec,
    /// Events in the outbox that the broker has not confirmed.
    pub outbox_pending: IntGauge,
    /// 1 while there is a link to the broker, else 0.
    pub broker_connected: IntGauge,
    publish_duration: Histogram,
}

const FAILED: &str = "failed";

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, telemetry::Error> {
        let publish = HistogramOpts::new(
            "messaging_publish_duration_seconds",
            "Time from handing an event to the broker until it is confirmed.",
        );
        Ok(Self {
            payments: counters(
                registry,
                ("payment_processed_total", "Payments by outcome; repeated answers are not counted again."),
                "outcome",
                &[Outcome::Succeeded.as_str(), Outcome::Declined.as_str(), FAILED],
            )?,
            events: counters(
                registry,
                ("messaging_published_total", "Attempts to publish an event, by what the broker made of it."),
                "outcome",
                &["confirmed", FAILED],
            )?,
            outbox_pending: gauge(
                registry,
                "outbox_pending",
                "Events in the outbox that the broker has not confirmed.",
            )?,
            broker_connected: gauge(
                registry,
                "broker_connected",
                "1 while the broker is reachable, else 0.",
            )?,
            publish_duration: register(
                registry,
                Histogram::with_opts(publish.buckets(DURATION_BUCKETS.to_vec()))?,
            )?,
        })
    }

    /// A payment was settled.
    pub fn settled(&self, outcome: Outcome) {
        self.payments.with_label_values(&[outcome.as_str()]).inc();
    }

    /// An attempt to settle failed.
    pub fn failed(&self) {
        self.payments.with_label_values(&[FAILED]).inc();
    }

    /// A window of events came back from the broker after `seconds`.
    pub fn published(&self, confirmed: usize, failed: usize, seconds: f64) {
        self.events.with_label_values(&["confirmed"]).inc_by(confirmed as u64);
        self.events.with_label_values(&[FAILED]).inc_by(failed as u64);
        for _ in 0..confirmed {
            self.publish_duration.observe(seconds);
        }
    }
}
