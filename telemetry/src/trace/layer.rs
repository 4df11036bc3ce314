//! From spans of `tracing` to spans of OpenTelemetry.
//!
//! What `tracing-opentelemetry` and the tracer of the SDK do here costs some thirty allocations a span and a change of
//! the current context at each poll of a future. This keeps one buffer for a span, and does nothing when it is entered:
//! whoever wants to know asks the registry which span is current.
//!
//! Events are none of its business: they are log lines, which know their span.

use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::trace::{SpanContext, SpanKind, TraceContextExt, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample};
use tracing::span::{Attributes, Id, Record};
use tracing::{Span, Subscriber, dispatcher};
use tracing_subscriber::Layer;
use tracing_subscriber::layer;
use tracing_subscriber::registry::{LookupSpan, Registry, SpanRef};

use super::recording::{Notes, Recording};

/// Keeps a [`Recording`] with every span, and hands it over when the span has ended, if it is sampled.
pub(crate) struct SpanLayer {
    sampler: Sampler,
    ids: RandomIdGenerator,
    ended: Box<dyn Fn(&Recording) + Send + Sync>,
}

impl SpanLayer {
    pub(crate) fn new(sampler: Sampler, ended: impl Fn(&Recording) + Send + Sync + 'static) -> Self {
        Self { sampler, ids: RandomIdGenerator::default(), ended: Box::new(ended) }
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
    fn child(&self, parent: &Recording, notes: Notes) -> Recording {
        let ids = &parent.ids;
        let (trace, state) = (ids.trace_id(), ids.trace_state().clone());
        let made = SpanContext::new(trace, self.ids.new_span_id(), ids.trace_flags(), false, state);
        Recording::new(made, ids.clone(), parent.baggage.clone(), notes)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        if Context::is_current_telemetry_suppressed() {
            return;
        }
        let mut notes = Notes::named(attributes.metadata().name());
        attributes.record(&mut notes);
        let Some(span) = context.span(id) else { return };
        let parent = span.parent();
        let parent = parent.as_ref().map(SpanRef::extensions);
        let recording = match parent.as_ref().and_then(|extensions| extensions.get::<Recording>()) {
            Some(parent) => self.child(parent, notes),
            None => {
                let ids = self.root(&Context::new(), None, &notes);
                Recording::new(ids, SpanContext::NONE, None, notes)
            }
        };
        span.extensions_mut().insert(recording);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: layer::Context<'_, S>) {
        // Before anything is locked: a value may log while it is formatted, and a line asks for the current span.
        let mut notes = Notes::more();
        values.record(&mut notes);
        let Some(span) = context.span(id) else { return };
        if let Some(recording) = span.extensions_mut().get_mut::<Recording>() {
            recording.note(notes);
        }
    }

    /// A span has ended when it was left for the last time, even if a child of it keeps it open.
    fn on_exit(&self, id: &Id, context: layer::Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(recording) = span.extensions_mut().get_mut::<Recording>() {
            recording.end = Some(SystemTime::now());
        }
    }

    fn on_close(&self, id: Id, context: layer::Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let recording = span.extensions_mut().remove::<Recording>();
        if let Some(recording) = recording.filter(|recording| recording.ids.is_sampled()) {
            (self.ended)(&recording);
        }
    }
}

/// What is recorded of a span; `None` where nobody records.
pub(crate) fn of<T>(span: &Span, ask: impl FnOnce(&mut Recording) -> T) -> Option<T> {
    span.with_subscriber(|(id, dispatch)| within(dispatch.downcast_ref()?, id, ask)).flatten()
}

/// What is recorded of the span that is current on this thread; `None` where nobody records.
pub(crate) fn here<T>(ask: impl FnOnce(&mut Recording) -> T) -> Option<T> {
    let mut ask = Some(ask);
    dispatcher::get_default(|dispatch| {
        let registry = dispatch.downcast_ref::<Registry>()?;
        within(registry, registry.current_span().id()?, ask.take()?)
    })
}

/// Trace and span id of the span that is current on this thread.
pub(crate) fn current() -> Option<SpanContext> {
    here(|recording| recording.ids.clone())
}

/// Makes `parent` that of `span`; an empty one makes it the root of a trace.
pub(crate) fn adopt(span: &Span, parent: Context) {
    span.with_subscriber(|(id, dispatch)| {
        let layer = dispatch.downcast_ref::<SpanLayer>()?;
        within(dispatch.downcast_ref()?, id, |recording| {
            let remote = parent.span().span_context().clone();
            let own = (!recording.parent.is_valid()).then(|| recording.ids.trace_id());
            recording.ids = layer.root(&parent, own, &recording.notes);
            recording.parent = remote;
            recording.baggage = (!parent.baggage().is_empty()).then_some(parent);
        })
    });
}

fn within<T>(registry: &Registry, id: &Id, ask: impl FnOnce(&mut Recording) -> T) -> Option<T> {
    let span = registry.span(id)?;
    let mut extensions = span.extensions_mut();
    extensions.get_mut::<Recording>().map(ask)
}
