//! W3C trace context and baggage, carried over whatever has names and values: HTTP and AMQP headers, database rows.

mod limits;

pub use limits::BaggageKeys;

use std::collections::HashMap;
use std::mem::ManuallyDrop;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry::{Context, trace::SpanId, trace::TraceId};
use opentelemetry_sdk::propagation::{BaggagePropagator, TraceContextPropagator};
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::Error;

/// The header that answers a request with its trace (W3C Trace Context Level 2, draft).
pub const TRACERESPONSE: &str = "traceresponse";

const FIELDS: [&str; 3] = ["traceparent", "tracestate", BAGGAGE];
const BAGGAGE: &str = "baggage";

/// The trace context of a moment with its baggage, as names and values.
///
/// Serialises as a JSON object, so that it fits into a row: `{"traceparent":"00-…"}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceContext(HashMap<String, String>);

impl TraceContext {
    /// The context of the span that is current; empty where there is none.
    pub fn current() -> Self {
        Self::from_context(&Context::current())
    }

    /// The context of `span`.
    pub fn of(span: &Span) -> Self {
        Self::from_context(&span.context())
    }

    /// Reads the propagation fields with `value_of`; what is malformed or too long counts as absent, and so does
    /// baggage whose key is not among those that may pass.
    pub fn read(value_of: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &&str| Some(((*name).to_owned(), limits::bounded(name, value_of(name)?)?));
        Self(FIELDS.iter().filter_map(read).collect())
    }

    fn from_context(context: &Context) -> Self {
        let mut fields = HashMap::new();
        TraceContextPropagator::new().inject_context(context, &mut fields);
        BaggagePropagator::new().inject_context(context, &mut fields);
        fields.retain(|_, value| !value.is_empty());
        Self(fields)
    }

    /// The names and values to send along.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// As the remote parent of a span to come. Never inherits what happens to be current.
    pub fn to_context(&self) -> Context {
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &self.0);
        BaggagePropagator::new().extract_with_context(&context, &self.0)
    }

    /// The same without its trace: baggage, if anything.
    pub(crate) fn baggage_only(mut self) -> Self {
        self.0.retain(|name, _| name == BAGGAGE);
        self
    }

    /// The trace and span that it names; invalid where it names none.
    pub fn span_context(&self) -> SpanContext {
        self.to_context().span().span_context().clone()
    }

    /// Makes it the parent of `span`, which must not have been entered yet.
    ///
    /// An empty context leaves `span` the root of a new trace.
    pub fn adopt(&self, span: &Span) {
        // Fails only for a disabled span or without a subscriber; both mean that nobody is tracing.
        let _ = span.set_parent(self.to_context());
    }
}

/// The trace id that is current, 32 hexadecimal digits; `None` outside of a recorded trace.
pub fn current_trace_id() -> Option<String> {
    let context = Context::current();
    let id = context.span().span_context().trace_id();
    (id != TraceId::INVALID).then(|| id.to_string())
}

/// Sets an attribute on the current span, for what was not known when the span began.
pub fn annotate(key: &'static str, value: impl Into<opentelemetry::Value>) {
    Span::current().set_attribute(key, value.into());
}

/// Inject, extract, compare: two opentelemetry versions in one process give empty ids silently.
pub(crate) fn self_test() -> Result<(), Error> {
    // Never closed, and so never exported: otherwise every start would leave a trace of nothing.
    let span = ManuallyDrop::new(tracing::info_span!("propagation self-test"));
    let sent = span.context().span().span_context().clone();
    if sent.span_id() == SpanId::INVALID {
        return Err(Error::Propagation("a span has no id"));
    }
    let received = TraceContext::of(&span).span_context();
    if (received.trace_id(), received.span_id()) != (sent.trace_id(), sent.span_id()) {
        return Err(Error::Propagation("what was extracted is not what was injected"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context(traceparent: &str) -> TraceContext {
        TraceContext::read(|name| (name == "traceparent").then(|| traceparent.to_owned()))
    }

    #[test]
    fn it_survives_a_row() {
        let row = serde_json::to_string(&context(PARENT)).unwrap();
        assert_eq!(row, format!(r#"{{"traceparent":"{PARENT}"}}"#));
        let read: TraceContext = serde_json::from_str(&row).unwrap();
        assert_eq!(read.span_context().trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(read.span_context().span_id().to_string(), "00f067aa0ba902b7");
        assert!(read.span_context().is_remote() && read.span_context().is_sampled());
    }

    #[test]
    fn what_is_malformed_counts_as_absent() {
        for bad in ["", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-0-0-01", "💥"]
        {
            assert!(!context(bad).span_context().is_valid(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_value_makes_it_grow_or_panic(
            parent in "(00-[0-9a-f]{32}-[0-9a-f]{16}-01|.{0,300})",
            state in "([a-z]{1,3}=.{0,8},){0,60}",
            baggage in ".{0,3000}",
        ) {
            let read = TraceContext::read(|name| Some(match name {
                "traceparent" => parent.clone(),
                "tracestate" => state.clone(),
                _ => baggage.clone(),
            }));
            let carried = TraceContext::from_context(&read.to_context());
            for context in [read, carried] {
                let bytes: usize = context.fields().map(|(name, value)| name.len() + value.len()).sum();
                proptest::prop_assert!(bytes <= 2048, "{:?}", context);
            }
        }
    }

    #[test]
    fn nothing_current_is_an_empty_context() {
        assert_eq!(TraceContext::current(), TraceContext::default());
        assert_eq!(current_trace_id(), None);
    }
}
