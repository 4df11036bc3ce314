//! The metrics of the mailer.

use std::time::Duration;

use prometheus::IntGauge;
use telemetry::metrics::{Counters, Durations, Label, Registry, counters, gauge};

/// The metrics of this service; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    sendings: Counters,
    deliveries: Counters,
    uncertain: Counters,
    queue_wait: Durations<0>,
    process_duration: Durations<1>,
    send_duration: Durations<0>,
    /// Events in the inbox whose e-mail is not sent yet.
    pub inbox_queued: IntGauge,
    /// Bytes of the write-ahead log of the database file.
    pub store_log_bytes: IntGauge,
    /// 1 while there is a link to the broker, else 0.
    pub broker_connected: IntGauge,
}

/// The outcome of an attempt to send an e-mail.
#[derive(Clone, Copy, Debug)]
pub enum Sending {
    /// The transport has taken the e-mail.
    Sent,
    /// It will be tried again.
    Retried,
    /// It became a dead letter.
    Dead,
}

/// What is done about an e-mail that the mail server may have or not.
#[derive(Clone, Copy, Debug)]
pub enum Uncertain {
    /// It is sent again, with the same Message-ID.
    Resent,
    /// It is held for an operator.
    Held,
}

/// The outcome of a delivery.
#[derive(Clone, Copy, Debug)]
pub enum Delivered {
    /// It is in the inbox.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It can't be read.
    Parked,
}

const DELIVERED: [&str; 3] =
    [Delivered::Accepted.as_str(), Delivered::Duplicate.as_str(), Delivered::Parked.as_str()];

impl Delivered {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Parked => "parked",
        }
    }
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, telemetry::Error> {
        let wait = "Time from publishing an event until the mailer begins to handle it.";
        let queue_wait = Durations::register(registry, ("messaging_queue_wait_seconds", wait), [])?;
        queue_wait.expect([]);
        let process = "Time from the begin of handling a delivery until it is answered, by outcome.";
        let process_duration = Durations::register(
            registry,
            ("messaging_process_duration_seconds", process),
            [Label::closed("outcome", &DELIVERED)],
        )?;
        for outcome in DELIVERED {
            process_duration.expect([outcome]);
        }
        let send = "Time of one attempt to hand an e-mail over, with the simulated latency.";
        let send_duration = Durations::register(registry, ("email_send_duration_seconds", send), [])?;
        send_duration.expect([]);
        Ok(Self {
            sendings: counters(
                registry,
                ("emails_sent_total", "Attempts to send an e-mail, by outcome."),
                "outcome",
                &["sent", "retried", "dead"],
            )?,
            deliveries: counters(
                registry,
                ("messaging_received_total", "Deliveries from the broker, by outcome."),
                "outcome",
                &DELIVERED,
            )?,
            uncertain: counters(
                registry,
                ("emails_uncertain_total", "E-mails that the mail server may have or not, by action."),
                "action",
                &["resent", "held"],
            )?,
            queue_wait,
            process_duration,
            send_duration,
            inbox_queued: gauge(
                registry,
                "inbox_queued",
                "Events in the inbox whose e-mail is not sent yet.",
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
        })
    }

    /// Counts an attempt to send.
    pub fn sending(&self, outcome: Sending) {
        let label = match outcome {
            Sending::Sent => "sent",
            Sending::Retried => "retried",
            Sending::Dead => "dead",
        };
        self.sendings.with_label_values(&[label]).inc();
    }

    /// Measures an attempt to send, within its span.
    pub fn attempted(&self, took: Duration) {
        self.send_duration.observe([], took);
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
        self.deliveries.with_label_values(&[outcome.as_str()]).inc();
    }

    /// Measures the time of an event in the queue; within the span of its delivery.
    pub fn waited(&self, wait: Duration) {
        self.queue_wait.observe([], wait);
    }

    /// Measures a delivery that was answered; within its span.
    pub fn processed(&self, outcome: Delivered, took: Duration) {
        self.process_duration.observe([outcome.as_str()], took);
    }
}
