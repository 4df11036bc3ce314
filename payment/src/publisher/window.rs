//! Publishing a window of events over one link, all of them at once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation};
use payment_api::{event, topology};
use service::amqp::Link;
use slog::{Logger, debug, info};
use telemetry::Chain;
use telemetry::amqp::{Destination, publish_span, with_context, with_publish_time};
use telemetry::propagation::{TraceContext, annotate};
use tokio::time::timeout;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::store::OutboxEvent;

const CONFIRM_DEADLINE: Duration = Duration::from_secs(5);
const PERSISTENT: u8 = 2;

/// Why an event was not confirmed.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("the broker refused the event")]
    Amqp(#[from] lapin::Error),
    #[error("the broker did not confirm within {} s", CONFIRM_DEADLINE.as_secs())]
    Deadline,
}

/// The answer of the broker to one event.
struct Published {
    span: Span,
    answer: Result<Confirmation, PublishError>,
    took: Duration,
}

/// Publishes the events, and returns the ids of those that the broker has not taken for good.
///
/// lapin can pair a returned message with the confirm of another publish, so the window is judged as a whole: an event
/// that came back is known by its own message id, never by the confirm that it came with.
pub(super) async fn publish(
    link: &Link,
    window: &[OutboxEvent],
    metrics: &Metrics,
    log: &Logger,
) -> Vec<Uuid> {
    let answers = join_all(window.iter().map(|event| publish_one(link, event))).await;
    let returned: HashSet<Uuid> =
        answers.iter().filter_map(|published| returned_id(published.answer.as_ref().ok()?)).collect();
    let mut unconfirmed = Vec::new();
    for (event, Published { span, answer, took }) in window.iter().zip(&answers) {
        let is_acked = matches!(answer, Ok(confirmation) if confirmation.is_ack());
        let is_taken = is_acked && !returned.contains(&event.id);
        // In its span, which gives the measurement and the log line their trace.
        span.in_scope(|| {
            metrics.published(is_taken, *took);
            if is_taken {
                info!(log, "event published"; "cloudevents.event_type" => &event.routing_key,
                    "messaging.message.id" => %event.id, "order.id" => %event.order_id);
            }
        });
        if is_taken {
            continue;
        }
        span.record("error.type", "unconfirmed");
        if let Err(error) = answer {
            debug!(log, "publish not confirmed"; "error.message" => Chain(error));
        }
        unconfirmed.push(event.id);
    }
    unconfirmed
}

/// The span lasts until its window is judged.
async fn publish_one(link: &Link, event: &OutboxEvent) -> Published {
    let started = Instant::now();
    let id = event.id.to_string();
    let to = Destination { exchange: topology::EXCHANGE, routing_key: &event.routing_key };
    let span = publish_span(&event.trace_context, to, &id, event.payload.len());
    let headers = with_publish_time(with_context(FieldTable::default(), &TraceContext::of(&span)));
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(event::CONTENT_TYPE.into())
        .with_type(event.routing_key.as_str().into())
        .with_message_id(id.as_str().into())
        .with_app_id(crate::SERVICE.name.into())
        .with_timestamp(seconds_now())
        .with_headers(headers);
    let confirmed = async {
        annotate("order.id", event.order_id.to_string());
        let (exchange, key) = (topology::EXCHANGE.into(), event.routing_key.as_str().into());
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirm = link.channel.basic_publish(exchange, key, options, &event.payload, properties).await?;
        service::crash::point("payment.before_confirm");
        Ok(confirm.await?)
    };
    let answer = timeout(CONFIRM_DEADLINE, confirmed.instrument(span.clone())).await;
    Published { span, answer: answer.unwrap_or(Err(PublishError::Deadline)), took: started.elapsed() }
}

fn returned_id(confirmation: &Confirmation) -> Option<Uuid> {
    let (Confirmation::Ack(Some(message)) | Confirmation::Nack(Some(message))) = confirmation else {
        return None;
    };
    message.delivery.properties.message_id().as_ref()?.as_str().parse().ok()
}

fn seconds_now() -> u64 {
    u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0)
}
