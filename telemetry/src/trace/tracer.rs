//! From spans of `tracing` to spans of OpenTelemetry: their ids, and whether they are sampled.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceId};
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
        let current = attributes.is_contextual().then(spans::current).flatten();
        let parent = attributes.parent().or(current.as_ref());
        if parent.is_some_and(spans::is_unrecorded) {
            return None;
        }
        let notes = Notes::first(attributes);
        Some(match parent.and_then(|parent| spans::with(parent, |parent| parent.carried.clone())) {
            Some(parent) => self.child(parent, notes),
            None => {
                let (trace, span) = (self.ids.new_trace_id(), self.ids.new_span_id());
                let ids = self.root(&SpanContext::NONE, trace, span, &notes);
                Recording::new(Carried { ids, baggage: None }, SpanContext::NONE, notes)
            }
        })
    }

    /// Makes `parent` that of a span which has not been entered yet, and makes that a root where it names none.
    pub(super) fn adopt(&self, recording: &mut Recording, parent: Carried) {
        let Recording { carried, parent: former, notes, .. } = recording;
        carried.baggage = parent.baggage;
        let trace = match (parent.ids.is_valid(), former.is_valid()) {
            (true, _) => parent.ids.trace_id(),
            (false, true) => self.ids.new_trace_id(),
            (false, false) => return,
        };
        carried.ids = self.root(&parent.ids, trace, carried.ids.span_id(), notes);
        *former = parent.ids;
    }

    pub(super) fn end(&self, recording: &Recording) {
        if recording.carried.ids.is_sampled() {
            (self.ended)(recording);
        }
    }

    /// The root of a trace, or of the part of it that is here.
    fn root(&self, parent: &SpanContext, trace: TraceId, span: SpanId, notes: &Notes) -> SpanContext {
        let is_sampled = match &self.sampler {
            Sampler::ParentBased(_) if parent.is_valid() => parent.is_sampled(),
            // All others decide without the parent, and would want a context made around it.
            sampler => {
                let name = notes.name.as_deref().unwrap_or_default();
                let kind = notes.kind.as_ref().unwrap_or(&SpanKind::Internal);
                let answer = sampler.should_sample(None, trace, name, kind, &[], &[]);
                answer.decision == SamplingDecision::RecordAndSample
            }
        };
        let flags = parent.trace_flags().with_sampled(is_sampled);
        SpanContext::new(trace, span, flags, false, parent.trace_state().clone())
    }

    /// What is decided for a trace here holds for all of its spans here.
    fn child(&self, parent: Carried, notes: Notes) -> Recording {
        let (trace, flags) = (parent.ids.trace_id(), parent.ids.trace_flags());
        let state = parent.ids.trace_state().clone();
        let ids = SpanContext::new(trace, self.ids.new_span_id(), flags, false, state);
        Recording::new(Carried { ids, baggage: parent.baggage }, parent.ids, notes)
    }
}
