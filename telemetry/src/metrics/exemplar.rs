//! Exemplars: for each bucket of a histogram the newest measurement that belongs to a trace somebody can open.

use std::sync::Mutex;
use std::time::Duration;

use opentelemetry::trace::{SpanContext, SpanId, TraceId};

use crate::{clock, trace};

/// One measurement, and the span in which it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) seconds: f64,
    /// Since the Unix epoch.
    pub(super) at: Duration,
}

/// The newest of each bucket; the last bucket is that of what is above every bound.
pub(super) struct Exemplars(Box<[Mutex<Option<Exemplar>>]>);

impl Exemplars {
    /// None yet, for buckets with `bounds` upper bounds and the one above them.
    pub(super) fn none(bounds: usize) -> Self {
        Self((0..=bounds).map(|_| Mutex::default()).collect())
    }

    /// Keeps a measurement where the current span is sampled: any other trace would be a dead link.
    pub(super) fn offer(&self, bounds: &[f64], took: Duration) {
        let Some(ids) = trace::current().filter(SpanContext::is_sampled) else { return };
        let (trace, span) = (ids.trace_id(), ids.span_id());
        let seconds = took.as_secs_f64();
        let bucket = bounds.partition_point(|bound| *bound < seconds);
        // Whoever holds it is writing one that is as new, or reading: not worth waiting for.
        if let Some(Ok(mut newest)) = self.0.get(bucket).map(Mutex::try_lock) {
            *newest = Some(Exemplar { trace, span, seconds, at: clock::now() });
        }
    }

    /// In the order of the buckets.
    pub(super) fn all(&self) -> Vec<Option<Exemplar>> {
        self.0.iter().map(|newest| newest.lock().ok().and_then(|newest| *newest)).collect()
    }
}
