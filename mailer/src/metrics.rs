//! What the mailer counts.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Registry};
use telemetry::metrics::{DURATION_BUCKETS, counters, gauge, register};

/// The metrics of this service; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    emails: IntCounterVec,
    deliveries: IntCounterVec,
    uncertain: IntCounterVec,
    /// Time from the settlement of a payment until its event is in the inbox, in seconds.
    pub queue_wait: Histogram,
    /// Events in the inbox whose e-mail is not sent yet.
    pub inbox_queued: IntGauge,
    /// 1 while there is a link to the broker, else 0.
    pub broker_connected: IntGauge,
}

/// What became of an attempt to send.
#[derive(Clone, Copy, Debug)]
pub enum Email {
    /// The transport has taken it.
    Sent,
    /// It will be tried again.
    Retried,
    /// It is given up.
    Dead,
}

/// What is done about an e-mail that the mail server may have or not.
#[derive(Clone, Copy, Debug)]
pub enum Uncertain {
    /// It is sent again, with the same Message-ID.
    Resent,
    /// It is kept for an operator.
    Held,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug)]
pub enum Delivered {
    /// It is in the inbox.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It can't be read.
    Parked,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, telemetry::Error> {
        let wait = HistogramOpts::new(
            "messaging_queue_wait_seconds",
            "Time from the settlement of a payment until its event is in the inbox.",
        );
        Ok(Self {
            emails: counters(
                registry,
                ("emails_sent_total", "Attempts to send an e-mail, by outcome."),
                "outcome",
                &["sent", "retried", "dead"],
            )?,
            deliveries: counters(
                registry,
                ("messaging_received_total", "Deliveries from the broker, by what became of them."),
                "outcome",
                &["accepted", "duplicate", "parked"],
            )?,
            uncertain: counters(
                registry,
                (
                    "emails_uncertain_total",
                    "E-mails that the mail server may have or not, by what is done about it.",
                ),
                "action",
                &["resent", "held"],
            )?,
            queue_wait: register(registry, Histogram::with_opts(wait.buckets(DURATION_BUCKETS.to_vec()))?)?,
            inbox_queued: gauge(
                registry,
                "inbox_queued",
                "Events in the inbox whose e-mail is not sent yet.",
            )?,
            broker_connected: gauge(
                registry,
                "broker_connected",
                "1 while the broker is reachable, else 0.",
            )?,
        })
    }

    /// Counts an attempt to send.
    pub fn email(&self, outcome: Email) {
        let label = match outcome {
            Email::Sent => "sent",
            Email::Retried => "retried",
            Email::Dead => "dead",
        };
        self.emails.with_label_values(&[label]).inc();
    }

    /// Counts an e-mail that the mail server may have or not.
    pub fn uncertain(&self, action: Uncertain) {
        let label = match action {
            Uncertain::Resent => "resent",
            Uncertain::Held => "held",
        };
        self.uncertain.with_label_values(&[label]).inc();
    }

    /// Counts a delivery.
    pub fn delivery(&self, outcome: Delivered) {
        let label = match outcome {
            Delivered::Accepted => "accepted",
            Delivered::Duplicate => "duplicate",
            Delivered::Parked => "parked",
        };
        self.deliveries.with_label_values(&[label]).inc();
    }
}
