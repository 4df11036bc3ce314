//! From spans of `tracing` to spans of OpenTelemetry: their ids, and whether they are sampled.

use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample};
use tracing::span::Attributes;

use super::recording::{Carried, Notes, Recording};
use super::spans;

/// Begins recordings, and hands them over when they have ended, if they are sampled.
pub(crate) struct Tracer {
    sampler: Sampler,
    ids: RandomIdGenerator,
    ended: Box<dyn Fn(&Recording) + Send + Sync>,
}

impl Tracer {
    pub(crate) fn new(sampler: Sampler, ended: impl Fn(&Recording) + Send + Sync + 'static) -> Self {
        Self { sampler, ids: RandomIdGenerator::default(), ended: Box::new(ended) }
    }

    /// A span that begins; `None` for what the pipelines do.
    pub(super) fn begin(&self, attributes: &Attributes<'_>) -> Option<Recording> {
        if Context::is_current_telemetry_suppressed() {
            return None;
        }
        let notes = Notes::first(attributes);
        let current = attributes.is_contextual().then(spans::current).flatten();
        let parent = attributes.parent().or(current.as_ref());
        Some(match parent.and_then(|parent| spans::with(parent, |parent| parent.carried.clone())) {
            Some(parent) => self.child(parent, notes),
            None => {
                let ids = self.root(&Context::new(), None, &notes);
                Recording::new(Carried { ids, baggage: None }, SpanContext::NONE, notes)
            }
        })
    }

    /// Makes `parent` that of a span which has not been entered yet.
    pub(super) fn adopt(&self, recording: &mut Recording, parent: Context) {
        let own = (!recording.parent.is_valid()).then(|| recording.carried.ids.trace_id());
        recording.carried.ids = self.root(&parent, own, &recording.notes);
        recording.parent = parent.span().span_context().clone();
        recording.carried.baggage = (!parent.baggage().is_empty()).then_some(parent);
    }

    pub(super) fn end(&self, recording: &Recording) {
        if recording.carried.ids.is_sampled() {
            (self.ended)(recording);
        }
    }

    /// The root of a trace, or of the part of it that is here. `trace` is used where there is no parent.
    fn root(&self, parent: &Context, trace: Option<TraceId>, notes: &Notes) -> SpanContext {
        let remote = parent.span().span_context().clone();
        let trace = match remote.is_valid() {
            true => remote.trace_id(),
            false => trace.unwrap_or_else(|| self.ids.new_trace_id()),
        };
        let (name, kind) = (notes.name.as_deref().unwrap_or_default(), notes.kind.as_ref());
        let kind = kind.unwrap_or(&SpanKind::Internal);
        let sampled = self.sampler.should_sample(Some(parent), trace, name, kind, &[], &[]);
        let is_sampled = sampled.decision == SamplingDecision::RecordAndSample;
        let flags = remote.trace_flags().with_sampled(is_sampled);
        SpanContext::new(trace, self.ids.new_span_id(), flags, false, sampled.trace_state)
    }

    /// What is decided for a trace here holds for all of its spans here.
    fn child(&self, parent: Carried, notes: Notes) -> Recording {
        let (trace, flags) = (parent.ids.trace_id(), parent.ids.trace_flags());
        let state = parent.ids.trace_state().clone();
        let ids = SpanContext::new(trace, self.ids.new_span_id(), flags, false, state);
        Recording::new(Carried { ids, baggage: parent.baggage }, parent.ids, notes)
    }
}
