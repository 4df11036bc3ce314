//! `traceparent` of W3C Trace Context: version, trace id, parent id and flags.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

use crate::hex;

/// The version that is written. Those to come may say more, behind what this one says.
const VERSION: u8 = 0;
/// No version will ever have this number.
const NO_VERSION: u8 = 0xff;
/// Longer ones are malformed in every version of the format so far.
const LONGEST: usize = 128;
/// Bytes of the four fields and what separates them.
const LENGTH: usize = 55;

/// The span that it names, with the state beside it; `None` for what is malformed.
///
/// Flags other than "sampled" are not passed on, as nobody has agreed yet on what they mean.
pub(super) fn read(value: &str, state: TraceState) -> Option<SpanContext> {
    let (fields, more) = value.as_bytes().split_at_checked(LENGTH)?;
    let field = |at: usize, length: usize| match at.checked_sub(1) {
        Some(before) if fields[before] != b'-' => None,
        _ => Some(&fields[at..at + length]),
    };
    let [version] = hex::read(field(0, 2)?)?;
    let (trace, span) = (hex::read(field(3, 32)?)?, hex::read(field(36, 16)?)?);
    let [flags] = hex::read(field(53, 2)?)?;
    let is_whole = more.is_empty() || (version != VERSION && more[0] == b'-' && value.len() <= LONGEST);
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_bytes(trace), SpanId::from_bytes(span));
    let named = SpanContext::new(trace, span, flags, true, state);
    (version != NO_VERSION && is_whole && named.is_valid()).then_some(named)
}

/// What names `span`.
pub(crate) fn write(span: &SpanContext) -> String {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    hex::write(&span.trace_id().to_bytes(), &mut text[3..35]);
    hex::write(&span.span_id().to_bytes(), &mut text[36..52]);
    hex::write(&[(span.trace_flags() & TraceFlags::SAMPLED).to_u8()], &mut text[53..]);
    // Digits and hyphens are ASCII.
    str::from_utf8(&text).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::TraceContextExt;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use proptest::prelude::*;

    use super::*;

    /// What the SDK makes of it.
    fn read_by_sdk(value: &str) -> SpanContext {
        let fields = HashMap::from([("traceparent".to_owned(), value.to_owned())]);
        TraceContextPropagator::new().extract(&fields).span().span_context().clone()
    }

    #[test]
    fn an_id_has_its_full_length() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for good in [format!("00-{trace}-{span}-01"), format!("cc-{trace}-{span}-03-more")] {
            let read = read(&good, TraceState::NONE).unwrap();
            assert_eq!(read, read_by_sdk(&good), "{good}");
            assert!(read.is_sampled() && read.is_remote());
        }
        for bad in [
            format!("00-{}-{span}-01", &trace[1..]),
            format!("00-0{trace}-{span}-01"),
            format!("00-{trace}-{}-01", &span[1..]),
            format!("00-{trace}-{span}-1"),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("00_{trace}-{span}-01"),
            format!("cc-{trace}-{span}-01more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("cc-{trace}-{span}-01-{}", "more".repeat(30)),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            "é".repeat(28),
        ] {
            assert_eq!(read(&bad, TraceState::NONE), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_sdk_reads_and_writes_the_same(trace in 1..=u128::MAX, span in 1..=u64::MAX, flags: u8, version in 0..0xff_u8) {
            let sent = format!("{version:02x}-{trace:032x}-{span:016x}-{flags:02x}");
            let found = read(&sent, TraceState::NONE).unwrap();
            prop_assert_eq!(&found, &read_by_sdk(&sent));
            let mut written = HashMap::new();
            let context = opentelemetry::Context::new().with_remote_span_context(found.clone());
            TraceContextPropagator::new().inject_context(&context, &mut written);
            prop_assert_eq!(&written["traceparent"], &write(&found));
        }
    }
}
