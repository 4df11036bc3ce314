//! From spans of `tracing` to spans of OpenTelemetry: their ids, and whether they are sampled.

use opentelemetry::Context;
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
                let ids = self.root(&SpanContext::NONE, None, &notes);
                Recording::new(Carried { ids, baggage: None }, SpanContext::NONE, notes)
            }
        })
    }

    /// Makes `parent` that of a span which has not been entered yet.
    pub(super) fn adopt(&self, recording: &mut Recording, parent: Carried) {
        let own = (!recording.parent.is_valid()).then(|| recording.carried.ids.trace_id());
        let ids = self.root(&parent.ids, own, &recording.notes);
        recording.carried = Carried { ids, baggage: parent.baggage };
        recording.parent = parent.ids;
    }

    pub(super) fn end(&self, recording: &Recording) {
        if recording.carried.ids.is_sampled() {
            (self.ended)(recording);
        }
    }

    /// The root of a trace, or of the part of it that is here. `trace` is used where there is no parent.
    fn root(&self, parent: &SpanContext, trace: Option<TraceId>, notes: &Notes) -> SpanContext {
        let trace = match parent.is_valid() {
            true => parent.trace_id(),
            false => trace.unwrap_or_else(|| self.ids.new_trace_id()),
        };
        let (is_sampled, state) = match &self.sampler {
            // What it would answer, but it would be asked with a context made around the parent.
            Sampler::ParentBased(_) if parent.is_valid() => {
                (parent.is_sampled(), parent.trace_state().clone())
            }
            sampler => {
                let context = Context::new();
                let context = match parent.is_valid() {
                    true => context.with_remote_span_context(parent.clone()),
                    false => context,
                };
                let name = notes.name.as_deref().unwrap_or_default();
                let kind = notes.kind.as_ref().unwrap_or(&SpanKind::Internal);
                let sampled = sampler.should_sample(Some(&context), trace, name, kind, &[], &[]);
                (sampled.decision == SamplingDecision::RecordAndSample, sampled.trace_state)
            }
        };
        let flags = parent.trace_flags().with_sampled(is_sampled);
        SpanContext::new(trace, self.ids.new_span_id(), flags, false, state)
    }

    /// What is decided for a trace here holds for all of its spans here.
    fn child(&self, parent: Carried, notes: Notes) -> Recording {
        let (trace, flags) = (parent.ids.trace_id(), parent.ids.trace_flags());
        let state = parent.ids.trace_state().clone();
        let ids = SpanContext::new(trace, self.ids.new_span_id(), flags, false, state);
        Recording::new(Carried { ids, baggage: parent.baggage }, parent.ids, notes)
    }
}
