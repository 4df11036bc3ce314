//! The trace context of a client, `traceparent` and `tracestate` in a line each: it is continued, or replaced by a new trace.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetry::propagation::TraceContext;

fuzz_target!(|headers: &[u8]| {
    let Ok(headers) = std::str::from_utf8(headers) else { return };
    let (traceparent, tracestate) = headers.split_once('\n').unwrap_or((headers, ""));
    let sent = TraceContext::read(|name| match name {
        "traceparent" => Some(traceparent.to_owned()),
        "tracestate" => (!tracestate.is_empty()).then(|| tracestate.to_owned()),
        _ => None,
    });
    let span = sent.span_context();
    if span.is_valid() {
        let id = span.trace_id().to_string();
        assert!(traceparent.to_lowercase().contains(&id), "{traceparent} became {id}");
    }
    let row = serde_json::to_string(&sent).expect("a context is JSON");
    let read: TraceContext = serde_json::from_str(&row).expect("a row can be read");
    assert_eq!(read.span_context(), span);
});
