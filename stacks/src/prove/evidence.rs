//! The evidence that every order must leave behind.

use std::time::Instant;

use anyhow::Result;
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};

use super::orders::Placed;
use crate::{
    backends::{Inbox, Logged, Logs, Traces},
    logs::SERVICES,
    orders::Order,
    trace::{ORDER, Span, Trace},
};

/// The check for whole traces, as reports name it.
pub const TRACE: &str = "trace, whole";
/// The check for log lines, as reports name it.
pub const LINES: &str = "log lines of all three";

/// Concurrent requests to a backend.
const MAX_REQUESTS: usize = 8;

/// One kind of evidence.
#[async_trait(?Send)]
pub(super) trait Evidence {
    /// The name in reports.
    fn name(&self) -> &'static str;

    /// Checks these orders; the results have the same order.
    async fn check(&self, placed: &[Placed]) -> Result<Vec<Look>>;
}

/// The result for one order.
pub(super) struct Look {
    /// What is missing; empty if all of the evidence was found.
    pub(super) lacks: Vec<String>,
    /// When the backend answered.
    pub(super) at: Instant,
}

impl Look {
    fn now(lacks: Vec<String>) -> Self {
        Self { lacks, at: Instant::now() }
    }
}

/// Asks a backend about each order, a few at a time.
async fn each<T>(
    placed: &[Placed],
    ask: impl AsyncFn(&Order) -> Result<T>,
    lacks: impl Fn(T) -> Vec<String>,
) -> Vec<Look> {
    let looks = placed.iter().map(async |placed| match ask(&placed.order).await {
        Ok(found) => Look::now(lacks(found)),
        Err(error) => Look::now(vec![format!("{error:#}")]),
    });
    stream::iter(looks).buffered(MAX_REQUESTS).collect().await
}

/// One trace with every span of an order, each a descendant of the one before, without orphans and second roots.
pub(super) struct WholeTrace<'a>(pub(super) &'a dyn Traces);

#[async_trait(?Send)]
impl Evidence for WholeTrace<'_> {
    fn name(&self) -> &'static str {
        TRACE
    }

    async fn check(&self, placed: &[Placed]) -> Result<Vec<Look>> {
        let ask = async |order: &Order| self.0.trace(&order.trace_id).await;
        Ok(each(placed, ask, |trace| lacks_of_trace(&trace.unwrap_or_default())).await)
    }
}

fn lacks_of_trace(trace: &Trace) -> Vec<String> {
    let mut lacks = Vec::new();
    let mut before: Option<&Span> = None;
    for (service, kind, name) in ORDER {
        let is_named = |span: &&Span| span.service == service && span.kind == kind && span.name == name;
        let (failed, well): (Vec<&Span>, Vec<&Span>) =
            trace.spans.iter().filter(is_named).partition(|span| span.error.is_some());
        match well.as_slice() {
            [] if failed.is_empty() => lacks.push(format!("no span {service} {kind} `{name}`")),
            [] => lacks.push(format!("the span {service} {kind} `{name}` failed")),
            [span, rest @ ..] => {
                if !rest.is_empty() {
                    lacks.push(format!("{} spans {service} {kind} `{name}` instead of one", well.len()));
                }
                if before.is_some_and(|before| !trace.descends(span, before)) {
                    lacks.push(format!("the span {service} {kind} `{name}` has the wrong parent"));
                }
            }
        }
        before = well.first().copied();
    }
    for orphan in trace.orphans() {
        lacks.push(format!("no parent of {} {} `{}`", orphan.service, orphan.kind, orphan.name));
    }
    let roots = trace.spans.iter().filter(|span| span.parent.is_none()).count();
    if roots > 1 {
        lacks.push(format!("{roots} roots instead of one"));
    }
    lacks
}

/// A log line of every service, with the trace id and the order id.
pub(super) struct Lines<'a>(pub(super) &'a dyn Logs);

#[async_trait(?Send)]
impl Evidence for Lines<'_> {
    fn name(&self) -> &'static str {
        LINES
    }

    async fn check(&self, placed: &[Placed]) -> Result<Vec<Look>> {
        let traces: Vec<&str> = placed.iter().map(|placed| placed.order.trace_id.as_str()).collect();
        let lines = self.0.lines(&traces).await?;
        Ok(placed.iter().map(|placed| Look::now(lacks_of_lines(placed, &lines))).collect())
    }
}

fn lacks_of_lines(placed: &Placed, lines: &[Logged]) -> Vec<String> {
    let of_trace: Vec<&Logged> = lines.iter().filter(|line| line.trace == placed.order.trace_id).collect();
    let mut lacks = Vec::new();
    for service in SERVICES {
        let orders: Vec<_> = of_trace.iter().filter(|line| line.service == service).collect();
        if orders.is_empty() {
            lacks.push(format!("no log line of {service} with the trace id"));
        } else if !orders.iter().any(|line| line.order.as_deref() == Some(&placed.order.order_id)) {
            lacks.push(format!("no log line of {service} with both the trace id and the order id"));
        }
    }
    let others = of_trace.iter().filter_map(|line| line.order.as_deref());
    if let Some(other) = others.into_iter().find(|order| *order != placed.order.order_id) {
        lacks.push(format!("a log line with the trace id of this order and the id of another, {other}"));
    }
    lacks
}

/// Exactly one e-mail.
pub(super) struct Emails<'a>(pub(super) &'a dyn Inbox);

#[async_trait(?Send)]
impl Evidence for Emails<'_> {
    fn name(&self) -> &'static str {
        "e-mail, exactly one"
    }

    async fn check(&self, placed: &[Placed]) -> Result<Vec<Look>> {
        Ok(each(placed, async |order: &Order| self.0.emails(&order.order_id).await, lacks_of_emails).await)
    }
}

fn lacks_of_emails(count: usize) -> Vec<String> {
    match count {
        0 => vec!["no e-mail".into()],
        1 => Vec::new(),
        more => vec![format!("{more} e-mails instead of one")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed() -> Placed {
        let order = Order { order_id: "o-1".into(), trace_id: "aa".into() };
        Placed { order, at: Instant::now() }
    }

    /// A whole trace; the settlement is a span between two of the required ones.
    fn whole() -> Trace {
        let mut spans: Vec<Span> = Vec::new();
        let settle = ("payment-service", "internal", "settle payment");
        for (service, kind, name) in [&ORDER[..3], &[settle], &ORDER[3..]].concat() {
            let [service, kind, name] = [service, kind, name].map(str::to_owned);
            let parent = spans.last().map(|span| span.id.clone());
            spans.push(Span { id: spans.len().to_string(), parent, service, kind, name, ..Span::default() });
        }
        Trace { id: "aa".into(), spans }
    }

    #[test]
    fn a_whole_trace_lacks_nothing() {
        assert!(lacks_of_trace(&whole()).is_empty());
    }

    #[test]
    fn a_missing_span_and_its_orphan_are_named() {
        let mut trace = whole();
        trace.spans.remove(5);
        let expected = [
            "no span email-service consumer `process checkout:payment.succeeded:mailer.payments`",
            "no parent of email-service client `send email`",
        ];
        assert_eq!(lacks_of_trace(&trace), expected);
        assert_eq!(lacks_of_trace(&Trace::default()).len(), ORDER.len());
    }

    #[test]
    fn a_consumer_with_a_trace_of_its_own_is_named() {
        let mut trace = whole();
        trace.spans.truncate(5);
        let expected = [
            "no span email-service consumer `process checkout:payment.succeeded:mailer.payments`",
            "no span email-service client `send email`",
        ];
        assert_eq!(lacks_of_trace(&trace), expected);
    }

    #[test]
    fn a_span_with_another_parent_or_kind_is_named() {
        let mut trace = whole();
        // The consumer's parent is the request instead of the published message.
        trace.spans[5].parent = Some("2".into());
        let expected = [
            "the span email-service consumer `process checkout:payment.succeeded:mailer.payments` has the wrong parent",
        ];
        assert_eq!(lacks_of_trace(&trace), expected);

        let mut trace = whole();
        trace.spans[5].kind = "internal".into();
        assert!(lacks_of_trace(&trace)[0].starts_with("no span email-service consumer"));
    }

    #[test]
    fn a_failed_attempt_is_allowed_and_a_second_span_is_not() {
        let mut trace = whole();
        let mut again = trace.spans[6].clone();
        again.id = "again".into();
        again.error = Some("451 later".into());
        trace.spans.push(again.clone());
        assert!(lacks_of_trace(&trace).is_empty());
        trace.spans[7].error = None;
        assert_eq!(lacks_of_trace(&trace), ["2 spans email-service client `send email` instead of one"]);
        trace.spans = vec![again];
        assert!(
            lacks_of_trace(&trace).contains(&"the span email-service client `send email` failed".to_owned())
        );
    }

    #[test]
    fn a_second_root_is_named() {
        let mut trace = whole();
        trace.spans.push(Span { id: "other".into(), ..Span::default() });
        assert_eq!(lacks_of_trace(&trace), ["2 roots instead of one"]);
    }

    fn lines(orders: [&[Option<&str>]; 3]) -> Vec<Logged> {
        let of = |(service, orders): (&str, &[Option<&str>])| -> Vec<Logged> {
            let line = |order: &Option<&str>| Logged {
                trace: "aa".into(),
                service: service.into(),
                order: order.map(str::to_owned),
            };
            orders.iter().map(line).collect()
        };
        SERVICES.into_iter().zip(orders).flat_map(of).collect()
    }

    #[test]
    fn every_service_must_have_a_line_with_both_ids() {
        let ours = Some("o-1");
        assert!(lacks_of_lines(&placed(), &lines([&[ours], &[None, ours], &[ours]])).is_empty());
        let without_trace = lacks_of_lines(&placed(), &lines([&[ours], &[ours], &[]]));
        assert_eq!(without_trace, ["no log line of email-service with the trace id"]);
        let lacks = lacks_of_lines(&placed(), &lines([&[ours], &[None], &[]]));
        let expected = [
            "no log line of payment-service with both the trace id and the order id",
            "no log line of email-service with the trace id",
        ];
        assert_eq!(lacks, expected);
    }

    #[test]
    fn a_line_about_another_order_is_named() {
        let lacks =
            lacks_of_lines(&placed(), &lines([&[Some("o-1")], &[Some("o-1")], &[Some("o-1"), Some("o-2")]]));
        assert_eq!(lacks, ["a log line with the trace id of this order and the id of another, o-2"]);
    }

    #[test]
    fn any_number_of_emails_but_one_is_named() {
        assert!(lacks_of_emails(1).is_empty());
        assert_eq!(lacks_of_emails(0), ["no e-mail"]);
        assert_eq!(lacks_of_emails(2), ["2 e-mails instead of one"]);
    }
}
