//! W3C trace context and baggage, carried by names and values: HTTP and AMQP headers, database rows.
//!
//! The SDK's propagators read and write the values. What comes from outside is bounded first (`propagation/limits.rs`).

mod baggage;
mod limits;

pub use limits::BaggageKeys;

use std::sync::OnceLock;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, Injector, TextMapCompositePropagator, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use self::baggage::EscapingBaggagePropagator;
use crate::Error;
use crate::trace::open;

/// The header that answers a request with its trace (W3C Trace Context Level 2, draft).
pub const TRACERESPONSE: &str = "traceresponse";

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// The flag of W3C Trace Context Level 2: the trace id is random.
const RANDOM: TraceFlags = TraceFlags::new(0x02);

/// What this process passes on; set once, by the Observability.
static PASSING: OnceLock<(Propagators, BaggageKeys)> = OnceLock::new();

/// Which propagators are on (`OTEL_PROPAGATORS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Propagators {
    pub(crate) trace_context: bool,
    pub(crate) baggage: bool,
}

impl Default for Propagators {
    fn default() -> Self {
        Self { trace_context: true, baggage: true }
    }
}

impl Propagators {
    /// Makes these the propagators of the process, for foreign crates, too; of baggage, `keys` pass.
    pub(crate) fn install(self, keys: BaggageKeys) {
        let mut propagators: Vec<Box<dyn TextMapPropagator + Send + Sync>> = Vec::new();
        if self.trace_context {
            propagators.push(Box::new(TraceContextPropagator::new()));
        }
        if self.baggage {
            propagators.push(Box::new(EscapingBaggagePropagator::default()));
        }
        opentelemetry::global::set_text_map_propagator(TextMapCompositePropagator::new(propagators));
        // A second Observability in one process has failed before it gets here.
        let _ = PASSING.set((self, keys));
    }
}

fn passing() -> (Propagators, Option<&'static BaggageKeys>) {
    PASSING.get().map_or((Propagators::default(), None), |(propagators, keys)| (*propagators, Some(keys)))
}

/// A trace context with its baggage, as names and values.
///
/// Serialises as a JSON object, so that it fits into a row: `{"traceparent":"00-…"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TraceContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baggage: Option<String>,
}

impl TraceContext {
    /// The context of the span that is current; empty if there is none.
    pub fn current() -> Self {
        Context::map_current(|current| Self::from(current))
    }

    /// The context of `span`.
    pub fn of(span: &Span) -> Self {
        Self::from(&span.context())
    }

    /// Reads the propagation fields with `value_of`; a value that is malformed or too long counts as absent, and so does
    /// baggage whose key is not among those that may pass.
    pub fn read(value_of: impl Fn(&str) -> Option<String>) -> Self {
        let (propagators, keys) = passing();
        let on = |is_on: bool, name| is_on.then(|| value_of(name)).flatten();
        Self {
            traceparent: on(propagators.trace_context, TRACEPARENT)
                .filter(|value| limits::is_traceparent(value)),
            tracestate: on(propagators.trace_context, TRACESTATE)
                .filter(|value| limits::is_tracestate(value)),
            baggage: on(propagators.baggage, BAGGAGE).and_then(|value| keys?.filter(&value)),
        }
    }

    /// The names and values to send along.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields =
            [(TRACEPARENT, &self.traceparent), (TRACESTATE, &self.tracestate), (BAGGAGE, &self.baggage)];
        fields.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The same without its trace: baggage, if anything.
    #[cfg(feature = "actix")]
    pub(crate) fn baggage_only(self) -> Self {
        Self { baggage: self.baggage, ..Self::default() }
    }

    /// The trace and span that it names; invalid if it names none.
    pub fn span_context(&self) -> SpanContext {
        self.context().span().span_context().clone()
    }

    /// The same as a context of OpenTelemetry, without anything of the current one.
    pub fn context(&self) -> Context {
        let named = TraceContextPropagator::new().extract_with_context(&Context::new(), self);
        let context = EscapingBaggagePropagator::default().extract_with_context(&named, self);
        // The SDK's propagator clears the flag, and its tracer does so for a trace that is not sampled.
        let flags =
            self.traceparent.as_deref().and_then(|value| u8::from_str_radix(value.get(53..55)?, 16).ok());
        match flags.map(TraceFlags::new) {
            Some(flags) if flags & RANDOM == RANDOM => {
                let span = context.span().span_context().clone();
                let flags = span.trace_flags() | RANDOM;
                let state = span.trace_state().clone();
                let span = SpanContext::new(span.trace_id(), span.span_id(), flags, true, state);
                context.with_remote_span_context(span).with_value(HasRandomTraceId)
            }
            _ => context,
        }
    }

    /// Makes it the parent of `span`, which must not have been entered yet.
    ///
    /// An empty context leaves `span` the root of a new trace.
    pub fn adopt(&self, span: &Span) {
        // An error means that the span is not recorded, or was started before: then it keeps its parent.
        let _ = span.set_parent(self.context());
    }

    /// The same, and a link to the parent besides.
    #[cfg(feature = "amqp")]
    pub(crate) fn adopt_and_link(&self, span: &Span) {
        link(span, self);
        self.adopt(span);
    }
}

/// Marks a context below a parent whose trace id is random.
struct HasRandomTraceId;

impl From<&Context> for TraceContext {
    fn from(context: &Context) -> Self {
        let (propagators, _) = passing();
        let mut fields = Self::default();
        if propagators.trace_context {
            TraceContextPropagator::new().inject_context(context, &mut fields);
        }
        if propagators.baggage {
            EscapingBaggagePropagator::default().inject_context(context, &mut fields);
        }
        if let Some(traceparent) = &mut fields.traceparent
            && context.get::<HasRandomTraceId>().is_some()
        {
            let flags = context.span().span_context().trace_flags() | RANDOM;
            traceparent.replace_range(53.., &format!("{flags:02x}"));
        }
        fields
    }
}

impl Extractor for TraceContext {
    fn get(&self, key: &str) -> Option<&str> {
        self.fields().find_map(|(name, value)| (name == key).then_some(value))
    }

    fn keys(&self) -> Vec<&str> {
        self.fields().map(|(name, _)| name).collect()
    }
}

impl Injector for TraceContext {
    fn set(&mut self, key: &str, value: String) {
        // The SDK writes a state that is empty, too.
        let value = Some(value).filter(|value| !value.is_empty());
        match key {
            TRACEPARENT => self.traceparent = value,
            TRACESTATE => self.tracestate = value,
            BAGGAGE => self.baggage = value,
            _ => {}
        }
    }
}

/// Links `span` to the one that `context` names, in this trace or another.
pub fn link(span: &Span, context: &TraceContext) {
    span.add_link(context.span_context());
}

/// The span that is current on this thread, whether it comes from `tracing` or from OpenTelemetry.
pub(crate) fn current_span() -> Option<SpanContext> {
    let current = Context::map_current(|context| context.span().span_context().clone());
    current.is_valid().then_some(current)
}

/// The trace id that is current, 32 hexadecimal digits; `None` outside of a trace.
pub fn current_trace_id() -> Option<String> {
    current_span().map(|span| span.trace_id().to_string())
}

/// Sets an attribute on the current span, for what was not known when the span began.
pub fn annotate(key: &'static str, value: impl Into<opentelemetry::Value>) {
    let attribute = opentelemetry::KeyValue::new(key, value);
    open::note(key, &attribute.value);
    Context::map_current(|context| context.span().set_attribute(attribute));
}

/// Inject, extract, compare: two versions of opentelemetry in one process give empty ids without an error.
pub(crate) fn self_test() -> Result<(), Error> {
    let (trace, span) = (TraceId::from_bytes([7; 16]), SpanId::from_bytes([7; 8]));
    let sent = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE);
    let context = TraceContext::from(&Context::new().with_remote_span_context(sent.clone()));
    match context.span_context() == sent || !passing().0.trace_context {
        true => Ok(()),
        false => Err(Error::Propagation("the extracted context is not the injected one")),
    }
}

#[cfg(test)]
mod tests;
