//! Exemplars: for each bucket of a histogram the newest measurement within a sampled trace.

use std::sync::Mutex;
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, TraceId};

use prometheus::proto::LabelPair;

use crate::{clock, propagation};

/// A measurement, and the span in which it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) seconds: f64,
    /// Since the Unix epoch.
    pub(super) at: Duration,
}

/// The newest exemplar of each bucket; the last bucket is above every bound.
pub(super) struct Exemplars(Box<[Mutex<Option<Exemplar>>]>);

impl Exemplars {
    /// No exemplars yet, for buckets with `bounds` upper bounds and the one above them.
    pub(super) fn new(bounds: usize) -> Self {
        Self((0..=bounds).map(|_| Mutex::default()).collect())
    }

    /// Keeps a measurement if the current span is sampled: any other trace would be a dead link.
    pub(super) fn offer(&self, bounds: &[f64], took: Duration) {
        let Some(ids) = propagation::current_span().filter(SpanContext::is_sampled) else { return };
        let (trace, span) = (ids.trace_id(), ids.span_id());
        let seconds = took.as_secs_f64();
        let bucket = bounds.partition_point(|bound| *bound < seconds);
        // The lock is held to write an exemplar as new as this, or to read: not worth waiting for.
        if let Some(Ok(mut newest)) = self.0.get(bucket).map(Mutex::try_lock) {
            *newest = Some(Exemplar { trace, span, seconds, at: clock::now() });
        }
    }

    /// In the order of the buckets.
    pub(super) fn all(&self) -> Vec<Option<Exemplar>> {
        self.0.iter().map(|newest| newest.lock().ok().and_then(|newest| *newest)).collect()
    }
}

/// A family with exemplars.
pub(super) trait Remembers: Send + Sync {
    /// The name of the family.
    fn name(&self) -> &str;

    /// The exemplars of the series with these labels, in the order of its buckets.
    fn exemplars(&self, labels: &[LabelPair]) -> Vec<Option<Exemplar>>;
}
