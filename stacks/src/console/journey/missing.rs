//! What an order leaves behind, compared with what was found.

use serde_json::Value;

use super::parts::LineView;
use crate::{
    logs::SERVICES,
    trace::{ORDER, Trace},
};

/// An order by what it must leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Paid,
    Declined,
    /// No payment is known: refused, failed or under way.
    Unknown,
}

impl Kind {
    /// The kind of an order by the gateway's answer.
    pub(super) fn of(order: &Value) -> Self {
        match order["status"].as_str() {
            Some("paid") => Self::Paid,
            Some("declined") => Self::Declined,
            _ => Self::Unknown,
        }
    }
}

/// The spans that the trace of such an order lacks. A replayed e-mail has a trace of its own, with the attempt alone.
pub(super) fn lacks_of_trace(trace: &Trace, kind: Kind) -> Vec<String> {
    let is_first =
        trace.find(ORDER[0]).is_some() || trace.spans.iter().any(|span| span.service != "email-service");
    if kind == Kind::Unknown || !is_first {
        return Vec::new();
    }
    let name_of = |name: &'static str| match kind {
        Kind::Declined => name.replace("payment.succeeded", "payment.declined"),
        _ => name.to_owned(),
    };
    let expected = ORDER.into_iter().map(|(service, kind, name)| (service, kind, name_of(name)));
    let missing = expected.filter(|(service, kind, name)| trace.find((service, kind, name)).is_none());
    missing.map(|(service, kind, name)| format!("the span {service} {kind} `{name}`")).collect()
}

/// The services that have written no line about an order.
pub(super) fn lacks_of_lines(lines: &[LineView]) -> Vec<String> {
    let is_silent = |service: &&str| !lines.iter().any(|line| line.service == *service);
    SERVICES.into_iter().filter(is_silent).map(|service| format!("a log line of {service}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Span;

    fn trace(names: &[(&str, &str, &str)]) -> Trace {
        let span = |(service, kind, name): &(&str, &str, &str)| {
            let [service, kind, name] = [service, kind, name].map(|text| (*text).to_owned());
            Span { service, kind, name, ..Span::default() }
        };
        Trace { id: "aa".into(), spans: names.iter().map(span).collect() }
    }

    #[test]
    fn a_missing_span_is_named_by_the_kind_of_order() {
        assert!(lacks_of_trace(&trace(&ORDER), Kind::Paid).is_empty());
        assert_eq!(
            lacks_of_trace(&trace(&ORDER[..5]), Kind::Paid),
            ["the span email-service client `send email`"]
        );
        let declined = lacks_of_trace(&trace(&ORDER[..3]), Kind::Declined);
        assert_eq!(declined.len(), 3);
        assert_eq!(declined[0], "the span payment-service producer `publish checkout:payment.declined`");
    }

    #[test]
    fn an_unknown_order_and_a_replay_lack_nothing() {
        assert!(lacks_of_trace(&trace(&ORDER[..1]), Kind::Unknown).is_empty());
        assert!(lacks_of_trace(&trace(&ORDER[5..]), Kind::Paid).is_empty());
    }
}
