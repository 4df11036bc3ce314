//! Properties of every trace context that a client may send.

use proptest::prelude::*;
use telemetry::propagation::TraceContext;

fn read(traceparent: &str, tracestate: Option<&str>) -> TraceContext {
    TraceContext::read(|name| match name {
        "traceparent" => Some(traceparent.to_owned()),
        "tracestate" => tracestate.map(str::to_owned),
        _ => None,
    })
}

/// More or less like a `traceparent`.
fn traceparent() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,80}",
        "[0-9a-fA-F]{0,2}-[0-9a-fA-F]{30,34}-[0-9a-fA-F]{14,18}-[0-9a-fA-F]{0,3}",
        "00-[0-9a-f]{28,36}-[0-9a-f]{12,20}-[0-9a-f]{1,3}",
        "00-[0-9a-f]{32}-[0-9a-f]{16}-0[01](-.{0,10})?",
    ]
}

proptest! {
    #[test]
    fn a_trace_is_one_that_was_sent_or_none(traceparent in traceparent(), tracestate in proptest::option::of(".{0,600}")) {
        let context = read(&traceparent, tracestate.as_deref());
        let span = context.span_context();
        if span.is_valid() {
            let sent = traceparent.to_lowercase();
            let ids = format!("-{}-{}-", span.trace_id(), span.span_id());
            prop_assert!(sent.contains(&ids), "{traceparent} became {span:?}");
        }
        let row = serde_json::to_string(&context).unwrap();
        let restored: TraceContext = serde_json::from_str(&row).unwrap();
        prop_assert_eq!(restored.span_context(), span);
    }

    #[test]
    fn a_good_traceparent_is_continued_with_any_tracestate(
        trace in 1..=u128::MAX, span in 1..=u64::MAX, is_sampled: bool, tracestate in proptest::option::of(".{0,600}"),
    ) {
        let traceparent = format!("00-{trace:032x}-{span:016x}-0{}", u8::from(is_sampled));
        let found = read(&traceparent, tracestate.as_deref()).span_context();
        prop_assert_eq!(found.trace_id().to_string(), format!("{trace:032x}"));
        prop_assert_eq!(found.span_id().to_string(), format!("{span:016x}"));
        prop_assert_eq!((found.is_sampled(), found.is_remote()), (is_sampled, true));
    }
}
