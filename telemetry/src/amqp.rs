//! AMQP: trace context and publish time in message headers, and spans by the messaging semantic conventions.

use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use tracing::{Span, field::Empty};

use crate::clock;
use crate::propagation::TraceContext;

/// The header with the publish time, in milliseconds since the Unix epoch. The property `timestamp` of AMQP
/// has whole seconds only, and a message waits for less.
pub const PUBLISHED_AT: &str = "published-at-ms";

/// The exchange and routing key of a message.
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

/// The context in the headers of a message; empty if there is none. Accepts strings of both kinds and byte arrays.
pub fn context_of(headers: Option<&FieldTable>) -> TraceContext {
    let fields = headers.map(FieldTable::inner);
    TraceContext::read(|name| match fields?.get(name)? {
        AMQPValue::LongString(value) => Some(String::from_utf8_lossy(value.as_bytes()).into_owned()),
        AMQPValue::ByteArray(value) => Some(String::from_utf8_lossy(value.as_slice()).into_owned()),
        AMQPValue::ShortString(value) => Some(value.to_string()),
        _ => None,
    })
}

/// `headers`, with the current time as the publish time.
pub fn with_publish_time(mut headers: FieldTable) -> FieldTable {
    let now = i64::try_from(clock::now().as_millis()).unwrap_or(i64::MAX);
    headers.insert(PUBLISHED_AT.into(), AMQPValue::LongLongInt(now));
    headers
}

/// The age of a message by the clocks of both sides: zero if they disagree, and `None` without a publish time.
pub fn since_publish(headers: Option<&FieldTable>) -> Option<Duration> {
    let AMQPValue::LongLongInt(at) = headers?.inner().get(PUBLISHED_AT)? else { return None };
    Some(clock::now().saturating_sub(Duration::from_millis(u64::try_from(*at).ok()?)))
}

/// The PRODUCER span of one message, a child of `parent`: the context in which the event was recorded.
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
        messaging.message.body.size = i64::try_from(bytes).unwrap_or(i64::MAX),
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
    producer.adopt_and_link(&span);
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_context_survives_headers_of_each_type() {
        let context = TraceContext::read(|name| (name == "traceparent").then(|| PARENT.to_owned()));
        let headers = with_context(FieldTable::default(), &context);
        assert_eq!(context_of(Some(&headers)), context);

        let mut short = FieldTable::default();
        short.insert("traceparent".into(), AMQPValue::ShortString(PARENT.into()));
        assert_eq!(context_of(Some(&short)), context);

        let mut bytes = FieldTable::default();
        bytes.insert("traceparent".into(), AMQPValue::ByteArray(PARENT.as_bytes().into()));
        assert_eq!(context_of(Some(&bytes)), context);
    }

    #[test]
    fn a_message_tells_its_age() {
        let wait = since_publish(Some(&with_publish_time(FieldTable::default())));
        assert!(wait.is_some_and(|wait| wait < Duration::from_secs(10)), "{wait:?}");

        let mut headers = FieldTable::default();
        for (at, wait) in [(i64::MAX, Some(Duration::ZERO)), (-1, None)] {
            headers.insert(PUBLISHED_AT.into(), AMQPValue::LongLongInt(at));
            assert_eq!(since_publish(Some(&headers)), wait, "{at}");
        }
        headers.insert(PUBLISHED_AT.into(), AMQPValue::LongString("yesterday".into()));
        assert_eq!(since_publish(Some(&headers)), None);
        assert_eq!(since_publish(None), None);
    }

    #[test]
    fn a_header_of_another_type_counts_as_absent() {
        let mut headers = FieldTable::default();
        headers.insert("traceparent".into(), AMQPValue::LongInt(7));
        assert_eq!(context_of(Some(&headers)), TraceContext::default());
        assert_eq!(context_of(None), TraceContext::default());
    }
}
