//! The metrics of the pipelines. For each destination: recorded + recovered = exported + rejected + dropped + queued.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::Error;
use crate::metrics::{counter_family, register};

/// Why an item was given up without an answer of the receiver.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Dropped {
    /// There was no room in memory.
    QueueFull,
    /// The spool has grown to its bound, and this was the oldest.
    SpoolFull,
    /// It has waited for longer than `TELEMETRY_SPOOL_AGE`.
    TooOld,
    /// It could not be encoded, or not be read back from the spool.
    Damaged,
}

/// The values of the label for [`Dropped`], in its order.
const DROPPED: [&str; 4] = ["queue_full", "spool_full", "too_old", "damaged"];

/// Why the receiver has refused an item for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// 400.
    BadRequest,
    /// 401 or 403.
    Unauthorized,
    /// 413.
    TooLarge,
    /// Another answer that is neither success nor "later".
    Other,
    /// A part of a request that was accepted: `partial_success`.
    Partial,
}

/// The values of the label for [`Rejected`], in its order.
const REJECTED: [&str; 5] = ["bad_request", "unauthorized", "too_large", "other", "partial"];

/// The families, with a label for the signal and one for the place of a destination in its list, from 1.
#[derive(Clone, Debug)]
pub(crate) struct PipelineMetrics {
    recorded: IntCounterVec,
    recovered: IntCounterVec,
    exported: IntCounterVec,
    rejected: IntCounterVec,
    dropped: IntCounterVec,
    retries: IntCounterVec,
    damaged: IntCounterVec,
    queued: IntGaugeVec,
    spool_bytes: IntGaugeVec,
}

const PLACE: [&str; 2] = ["signal", "destination"];
const REASON: [&str; 3] = ["signal", "destination", "reason"];

impl PipelineMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| counter_family(registry, name, help, labels);
        let gauges =
            |name: &str, help: &str| register(registry, IntGaugeVec::new(Opts::new(name, help), &PLACE)?);
        Ok(Self {
            recorded: counters(
                "telemetry_recorded_total",
                "Spans, log records and metrics for an OTLP receiver.",
                &["signal"],
            )?,
            recovered: counters(
                "telemetry_recovered_total",
                "Items that an earlier process has left in the spool.",
                &PLACE,
            )?,
            exported: counters("telemetry_exported_total", "Items that the receiver has accepted.", &PLACE)?,
            rejected: counters(
                "telemetry_rejected_total",
                "Items that the receiver has refused for good.",
                &REASON,
            )?,
            dropped: counters("telemetry_dropped_total", "Items given up unsent.", &REASON)?,
            retries: counters(
                "telemetry_retries_total",
                "Requests that are sent again: no answer, or \"later\".",
                &PLACE,
            )?,
            damaged: counters(
                "telemetry_spool_damaged_bytes_total",
                "Bytes of the spool that were no whole record.",
                &PLACE,
            )?,
            queued: gauges("telemetry_queued", "Items that wait, in memory or in the spool.")?,
            spool_bytes: gauges("telemetry_spool_bytes", "Bytes in the spool.")?,
        })
    }

    /// The series of one signal, all of them there from now on.
    pub(crate) fn of(&self, signal: &str, destinations: usize) -> SignalMetrics {
        let destination = |number: usize| {
            let place = number.to_string();
            let labels = [signal, place.as_str()];
            let reason = |family: &IntCounterVec, label| family.with_label_values(&[signal, &place, label]);
            DestinationMetrics {
                recovered: self.recovered.with_label_values(&labels),
                exported: self.exported.with_label_values(&labels),
                rejected: REJECTED.map(|why| reason(&self.rejected, why)),
                dropped: DROPPED.map(|why| reason(&self.dropped, why)),
                retries: self.retries.with_label_values(&labels),
                damaged: self.damaged.with_label_values(&labels),
                queued: self.queued.with_label_values(&labels),
                spool_bytes: self.spool_bytes.with_label_values(&labels),
            }
        };
        SignalMetrics {
            recorded: self.recorded.with_label_values(&[signal]),
            destinations: (1..=destinations).map(destination).collect(),
        }
    }
}

/// The series of one signal.
#[derive(Clone, Debug)]
pub(crate) struct SignalMetrics {
    recorded: IntCounter,
    pub(super) destinations: Vec<DestinationMetrics>,
}

impl SignalMetrics {
    pub(super) fn record(&self, items: u64) {
        self.recorded.inc_by(items);
        self.destinations.iter().for_each(|destination| destination.queued.add(signed(items)));
    }

    pub(super) fn drop(&self, items: u64, why: Dropped) {
        self.destinations.iter().for_each(|destination| destination.drop(items, why));
    }

    /// Items that wait, over all destinations.
    pub(crate) fn queued(&self) -> i64 {
        self.destinations.iter().map(|destination| destination.queued.get()).sum()
    }

    /// Items that were given up or refused, over all destinations.
    pub(crate) fn lost(&self) -> u64 {
        let of = |destination: &DestinationMetrics| {
            let counters = destination.rejected.iter().chain(&destination.dropped);
            counters.map(IntCounter::get).sum::<u64>()
        };
        self.destinations.iter().map(of).sum()
    }
}

/// The series of one destination. A queued item leaves by `export`, `reject` or `drop`.
#[derive(Clone, Debug)]
pub(super) struct DestinationMetrics {
    recovered: IntCounter,
    exported: IntCounter,
    rejected: [IntCounter; REJECTED.len()],
    dropped: [IntCounter; DROPPED.len()],
    pub(super) retries: IntCounter,
    pub(super) damaged: IntCounter,
    queued: IntGauge,
    pub(super) spool_bytes: IntGauge,
}

impl DestinationMetrics {
    pub(super) fn recover(&self, items: u64) {
        self.recovered.inc_by(items);
        self.queued.add(signed(items));
    }

    pub(super) fn export(&self, items: u64) {
        self.exported.inc_by(items);
        self.queued.sub(signed(items));
    }

    pub(super) fn reject(&self, items: u64, why: Rejected) {
        self.rejected[why as usize].inc_by(items);
        self.queued.sub(signed(items));
    }

    pub(super) fn drop(&self, items: u64, why: Dropped) {
        self.dropped[why as usize].inc_by(items);
        self.queued.sub(signed(items));
    }
}

fn signed(items: u64) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}
