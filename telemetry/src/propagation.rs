//! W3C trace context and baggage, carried over whatever has names and values: HTTP and AMQP headers, database rows.

mod limits;
pub(crate) mod traceparent;

pub use limits::BaggageKeys;

use std::mem::ManuallyDrop;
use std::sync::Arc;

use opentelemetry::trace::SpanContext;
use serde::{Deserialize, Serialize};
use tracing::Span;

use crate::trace::Carried;
use crate::{Error, hex, trace};

/// The header that answers a request with its trace (W3C Trace Context Level 2, draft).
pub const TRACERESPONSE: &str = "traceresponse";

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";

/// The trace context of a moment with its baggage, as names and values.
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
    /// The context of the span that is current; empty where there is none.
    pub fn current() -> Self {
        trace::here(|span| span.carried.clone()).map(Self::from).unwrap_or_default()
    }

    /// The context of `span`.
    pub fn of(span: &Span) -> Self {
        trace::of(span, |span| span.carried.clone()).map(Self::from).unwrap_or_default()
    }

    /// Reads the propagation fields with `value_of`; what is malformed or too long counts as absent, and so does
    /// baggage whose key is not among those that may pass.
    pub fn read(value_of: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name| limits::bounded(name, value_of(name)?);
        Self { traceparent: read(TRACEPARENT), tracestate: read(TRACESTATE), baggage: read(BAGGAGE) }
    }

    /// The names and values to send along.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields =
            [(TRACEPARENT, &self.traceparent), (TRACESTATE, &self.tracestate), (BAGGAGE, &self.baggage)];
        fields.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// The same without its trace: baggage, if anything.
    pub(crate) fn baggage_only(self) -> Self {
        Self { baggage: self.baggage, ..Self::default() }
    }

    /// The trace and span that it names; invalid where it names none.
    pub fn span_context(&self) -> SpanContext {
        // One that nobody can read says nothing of the trace.
        let state = self.tracestate.as_deref().and_then(|state| state.parse().ok()).unwrap_or_default();
        let named = self.traceparent.as_deref().and_then(|value| traceparent::read(value, state));
        named.unwrap_or(SpanContext::NONE)
    }

    /// Makes it the parent of `span`, which must not have been entered yet.
    ///
    /// An empty context leaves `span` the root of a new trace.
    pub fn adopt(&self, span: &Span) {
        trace::adopt(span, self.carried());
    }

    /// The same, and a link to the parent besides.
    #[cfg(feature = "amqp")]
    pub(crate) fn adopt_and_link(&self, span: &Span) {
        let parent = self.carried();
        link_to(span, &parent.ids);
        trace::adopt(span, parent);
    }

    /// Never inherits what happens to be current.
    fn carried(&self) -> Carried {
        Carried { ids: self.span_context(), baggage: self.baggage.as_deref().map(Arc::from) }
    }
}

impl From<Carried> for TraceContext {
    fn from(Carried { ids, baggage }: Carried) -> Self {
        Self {
            traceparent: ids.is_valid().then(|| traceparent::write(&ids)),
            tracestate: trace::tracestate(&ids),
            baggage: baggage.map(|baggage| (*baggage).to_owned()),
        }
    }
}

/// Links `span` to the one that `context` names, in this trace or another.
pub fn link(span: &Span, context: &TraceContext) {
    link_to(span, &context.span_context());
}

fn link_to(span: &Span, other: &SpanContext) {
    if other.is_valid() {
        trace::of(span, |recording| recording.add_link(other));
    }
}

/// The trace id that is current, 32 hexadecimal digits; `None` outside of a recorded trace.
pub fn current_trace_id() -> Option<String> {
    trace::current().map(|ids| hex::text(&ids.trace_id().to_bytes()))
}

/// Sets an attribute on the current span, for what was not known when the span began.
pub fn annotate(key: &'static str, value: impl Into<opentelemetry::Value>) {
    let value = value.into();
    trace::here(|recording| recording.set_attribute(key, &value));
}

/// Inject, extract, compare: two opentelemetry versions in one process give empty ids silently.
pub(crate) fn self_test() -> Result<(), Error> {
    // Never closed, and so never exported: otherwise every start would leave a trace of nothing.
    let span = ManuallyDrop::new(tracing::info_span!("propagation self-test"));
    let sent = trace::of(&span, |span| span.carried.ids.clone());
    let sent = sent.ok_or(Error::Propagation("a span has no id"))?;
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
            let carried = TraceContext::from(read.carried());
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
