//! AMQP: trace context in message headers, and spans by the messaging semantic conventions.

use lapin::types::{AMQPValue, FieldTable};
use tracing::{Span, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::propagation::TraceContext;

/// Where a message goes, or came from.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The exchange.
    pub exchange: &'a str,
    /// The routing key.
    pub routing_key: &'a str,
}

/// `headers`, with `context` added.
pub fn with_context(mut headers: FieldTable, context: &TraceContext) -> FieldTable {
    for (name, value) in context.fields() {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    headers
}

/// The context that came with a message; empty where there was none. Accepts both kinds of string.
pub fn context_of(headers: Option<&FieldTable>) -> TraceContext {
    let fields = headers.map(FieldTable::inner);
    TraceContext::read(|name| match fields?.get(name)? {
        AMQPValue::LongString(value) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
        AMQPValue::ShortString(value) => Some(value.to_string()),
        _ => None,
    })
}

/// The PRODUCER span of one message, a child of `parent`: the context in which it was decided to send it.
pub fn publish_span(parent: &TraceContext, to: Destination<'_>, message_id: &str, bytes: usize) -> Span {
    let destination = format!("{}:{}", to.exchange, to.routing_key);
    let span = tracing::info_span!(
        parent: None,
        "amqp.publish",
        otel.name = format!("publish {destination}"),
        otel.kind = "producer",
        messaging.system = "rabbitmq",
        messaging.operation.name = "publish",
        messaging.operation.type = "send",
        messaging.destination.name = destination,
        messaging.rabbitmq.destination.routing_key = to.routing_key,
        messaging.message.id = message_id,
        messaging.message.body.size = bytes,
        error.type = Empty,
    );
    parent.adopt(&span);
    span
}

/// The CONSUMER span of one delivery: a child of the span that published it, and linked to it.
///
/// Parent and link together let every backend draw the edge over the broker.
pub fn process_span(producer: &TraceContext, from: Destination<'_>, queue: &str, message_id: &str) -> Span {
    let destination = format!("{}:{}:{queue}", from.exchange, from.routing_key);
    let span = tracing::info_span!(
        parent: None,
        "amqp.process",
        otel.name = format!("process {destination}"),
        otel.kind = "consumer",
        messaging.system = "rabbitmq",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = destination,
        messaging.rabbitmq.destination.routing_key = from.routing_key,
        messaging.message.id = message_id,
        error.type = Empty,
    );
    producer.adopt(&span);
    span.add_link(producer.span_context());
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn context_survives_headers_of_either_kind_of_string() {
        let context = TraceContext::read(|name| (name == "traceparent").then(|| PARENT.to_owned()));
        let headers = with_context(FieldTable::default(), &context);
        assert_eq!(context_of(Some(&headers)), context);

        let mut short = FieldTable::default();
        short.insert("traceparent".into(), AMQPValue::ShortString(PARENT.into()));
        assert_eq!(context_of(Some(&short)), context);
    }

    #[test]
    fn a_header_of_another_type_counts_as_absent() {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongInt(7));
        assert_eq!(context_of(Some(&headers)), TraceContext::default());
        assert_eq!(context_of(None), TraceContext::default());
    }
}
