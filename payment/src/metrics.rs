//! The metrics of payment.

use std::time::Duration;

use payment_api::http::Outcome;
use prometheus::{Gauge, IntGauge};
use telemetry::metrics::{Counters, Durations, Label, Registry, counters, gauge, register};

use crate::store::Backlog;

/// The metrics of this service; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    payments: Counters,
    events: Counters,
    /// Events in the outbox that the broker has not confirmed.
    pub outbox_pending: IntGauge,
    outbox_oldest_age: Gauge,
    /// Bytes of the write-ahead log of the database file.
    pub store_log_bytes: IntGauge,
    /// 1 while there is a link to the broker, else 0.
    pub broker_connected: IntGauge,
    /// 1 while the broker takes no events for an alarm of its own, else 0.
    pub broker_blocked: IntGauge,
    publish_duration: Durations<1>,
}

const CONFIRMED: &str = "confirmed";

const FAILED: &str = "failed";

const SET_ASIDE: &str = "set_aside";

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, telemetry::Error> {
        let publish_duration = Durations::register(
            registry,
            (
                "messaging_publish_duration_seconds",
                "Time from publishing an event until it is confirmed or given up, by outcome.",
            ),
            [Label::closed("outcome", &[CONFIRMED, FAILED])],
        )?;
        publish_duration.expect([CONFIRMED]);
        publish_duration.expect([FAILED]);
        Ok(Self {
            payments: counters(
                registry,
                ("payment_processed_total", "Payments by outcome; repeated responses are not counted again."),
                "outcome",
                &[Outcome::Succeeded.as_str(), Outcome::Declined.as_str(), FAILED],
            )?,
            events: counters(
                registry,
                ("messaging_published_total", "Attempts to publish an event, by outcome."),
                "outcome",
                &[CONFIRMED, FAILED, SET_ASIDE],
            )?,
            outbox_pending: gauge(
                registry,
                "outbox_pending",
                "Events in the outbox that the broker has not confirmed.",
            )?,
            outbox_oldest_age: register(
                registry,
                Gauge::new(
                    "outbox_oldest_age_seconds",
                    "Age of the oldest event in the outbox in seconds; 0 while it is empty.",
                )?,
            )?,
            store_log_bytes: gauge(
                registry,
                "store_log_bytes",
                "Size of the write-ahead log of the database file; 0 with PostgreSQL.",
            )?,
            broker_connected: gauge(
                registry,
                "broker_connected",
                "1 while the broker is reachable, else 0.",
            )?,
            broker_blocked: gauge(
                registry,
                "broker_blocked",
                "1 while the broker takes no events, for its memory or disk is short, else 0.",
            )?,
            publish_duration,
        })
    }

    /// Counts a payment that was settled.
    pub fn settled(&self, outcome: Outcome) {
        self.payments.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Counts an attempt to settle that failed.
    pub fn failed(&self) {
        self.payments.with_label_values(&[FAILED]).inc();
    }

    /// Counts an event that could not be read, and was set aside.
    pub fn set_aside(&self) {
        self.events.with_label_values(&[SET_ASIDE]).inc();
    }

    /// Measures the answer of the broker to an event; within its span.
    pub fn published(&self, is_confirmed: bool, took: Duration) {
        let outcome = if is_confirmed { CONFIRMED } else { FAILED };
        self.events.with_label_values(&[outcome]).inc();
        self.publish_duration.observe([outcome], took);
    }

    /// Shows the backlog of the outbox.
    pub fn waiting(&self, backlog: Backlog) {
        self.outbox_pending.set(backlog.pending);
        self.outbox_oldest_age.set(backlog.oldest_age.as_secs_f64());
    }
}
