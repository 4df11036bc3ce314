use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn context(traceparent: &str) -> TraceContext {
    TraceContext::read(|name| (name == "traceparent").then(|| traceparent.to_owned()))
}

#[test]
fn a_context_survives_a_row() {
    let row = serde_json::to_string(&context(PARENT)).unwrap();
    assert_eq!(row, format!(r#"{{"traceparent":"{PARENT}"}}"#));
    let read: TraceContext = serde_json::from_str(&row).unwrap();
    assert_eq!(read.span_context().trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(read.span_context().span_id().to_string(), "00f067aa0ba902b7");
    assert!(read.span_context().is_remote() && read.span_context().is_sampled());
}

#[test]
fn a_malformed_value_counts_as_absent() {
    for bad in ["", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-0-0-01", "💥"] {
        assert!(!context(bad).span_context().is_valid(), "{bad}");
    }
}

#[test]
fn the_random_flag_goes_on_unchanged() {
    for flags in ["00", "01", "02", "03"] {
        let sent = format!("{}{flags}", &PARENT[..53]);
        let context = context(&sent);
        assert_eq!(context.span_context().trace_flags().to_u8(), flags.parse::<u8>().unwrap());
        assert_eq!(TraceContext::from(&context.context()), context);
    }
}

#[test]
fn flags_to_come_are_not_passed_on() {
    let sent = format!("{}f9", &PARENT[..53]);
    assert_eq!(TraceContext::from(&context(&sent).context()), context(PARENT));
}

proptest::proptest! {
    #[test]
    fn no_value_makes_a_context_grow_or_panic(
        parent in "(00-[0-9a-f]{32}-[0-9a-f]{16}-01|.{0,300})",
        state in "([a-z]{1,3}=.{0,8},){0,60}",
        baggage in ".{0,3000}",
    ) {
        let read = TraceContext::read(|name| Some(match name {
            "traceparent" => parent.clone(),
            "tracestate" => state.clone(),
            _ => baggage.clone(),
        }));
        let carried = TraceContext::from(&read.context());
        for context in [read, carried] {
            let bytes: usize = context.fields().map(|(name, value)| name.len() + value.len()).sum();
            proptest::prop_assert!(bytes <= 2048, "{:?}", context);
        }
    }
}

#[test]
fn without_a_span_the_current_context_is_empty() {
    assert_eq!(TraceContext::current(), TraceContext::default());
    assert_eq!(current_trace_id(), None);
}
