//! Handling a group of deliveries: read, commit, acknowledge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::Recipient;
use futures_util::future::join;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicRejectOptions};
use payment_api::event::{PaymentEvent, Unreadable};
use payment_api::topology;
use slog::{Logger, error, info, warn};
use telemetry::Chain;
use telemetry::amqp::{Destination, context_of, process_span, since_publish};
use telemetry::propagation::{TraceContext, annotate};
use tokio::time::{sleep, timeout};
use tracing::Span;

use crate::metrics::{Delivered, Metrics};
use crate::postman::SendDueEmails;
use crate::store::{Arrival, RETRY, Store};

const ACK_DEADLINE: Duration = Duration::from_secs(5);

/// The parts of the consumer that the work on a group uses.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) postman: Recipient<SendDueEmails>,
    pub(super) metrics: Metrics,
    pub(super) log: Logger,
}

/// A delivery that could be read.
struct Received {
    delivery: Delivery,
    event: PaymentEvent,
    /// Lasts until the delivery is acknowledged.
    span: Span,
    started: Instant,
    /// How long the message had waited by then.
    waited: Option<Duration>,
}

impl Shared {
    /// Handles the deliveries of one group: each is in the inbox, parked, or left with the broker afterwards.
    pub(super) async fn take(self, group: Vec<lapin::Result<Delivery>>) {
        let mut received = Vec::with_capacity(group.len());
        for delivery in group {
            match delivery {
                Ok(delivery) => received.extend(self.read(delivery).await),
                Err(error) => warn!(self.log, "deliveries broke off"; "error.message" => Chain(&error)),
            }
        }
        if !received.is_empty() {
            self.keep(&received).await;
        }
    }

    /// Reads a delivery, or parks it.
    async fn read(&self, delivery: Delivery) -> Option<Received> {
        let started = Instant::now();
        let properties = &delivery.properties;
        let waited = since_publish(properties.headers().as_ref());
        let producer = context_of(properties.headers().as_ref());
        let message_id = properties.message_id().as_ref().map(|id| id.as_str());
        let from =
            Destination { exchange: delivery.exchange.as_str(), routing_key: delivery.routing_key.as_str() };
        let span = process_span(&producer, from, topology::MAILER_QUEUE, message_id.unwrap_or_default());
        match PaymentEvent::read(&delivery.data, message_id) {
            Ok(event) => {
                span.in_scope(|| annotate("order.id", event.data.order_id.to_string()));
                Some(Received { delivery, event, span, started, waited })
            }
            Err(error) => {
                self.park(&delivery, &error, &span).await;
                span.in_scope(|| self.metrics.processed(Delivered::Parked, started.elapsed()));
                None
            }
        }
    }

    /// Commits the rows of all events, then acknowledges all deliveries at once.
    async fn keep(&self, received: &[Received]) {
        service::crash::point("mailer.before_inbox");
        let arrivals: Arc<[Arrival]> = received.iter().map(Arrival::from).collect();
        let mut backoff = RETRY;
        let new = loop {
            // Told at once, the postman's claim is in the same commit. A full mailbox means that a claim is due already, and
            // it will find these events.
            let tell = async { self.postman.try_send(SendDueEmails).is_ok() };
            match join(self.store.receive(arrivals.clone()), tell).await.0 {
                Ok(new) => break new,
                // Returned to the broker, they would come closer to their delivery limit for a fault of the store.
                Err(error) => {
                    error!(self.log, "the inbox can't be written"; "error.message" => Chain(&error));
                    sleep(backoff.pause()).await;
                }
            }
        };
        for (Received { event, span, waited, .. }, is_new) in received.iter().zip(&new) {
            self.metrics.delivery(delivered(*is_new));
            // In its span, which gives the log line and the measurement their trace.
            span.in_scope(|| {
                if let (true, Some(waited)) = (is_new, waited) {
                    self.metrics.waited(*waited);
                }
                info!(self.log, "event received";
                    "omnitrace.event.duplicate" => !is_new, "cloudevents.event_type" => event.kind.as_str(),
                    "messaging.message.id" => %event.id, "order.id" => %event.data.order_id);
            });
        }
        service::crash::point("mailer.before_ack");
        self.acknowledge(received).await;
        for (Received { span, started, .. }, is_new) in received.iter().zip(&new) {
            span.in_scope(|| self.metrics.processed(delivered(*is_new), started.elapsed()));
        }
    }

    /// One answer for all: deliveries of a channel are numbered, and all up to the last of these are in the inbox or
    /// parked.
    async fn acknowledge(&self, received: &[Received]) {
        if let Some(last) = received.last() {
            self.answer(last.delivery.acker.ack(BasicAckOptions { multiple: true })).await;
        }
    }

    /// Has the broker move the message to the parking queue, byte by byte as it came.
    async fn park(&self, delivery: &Delivery, error: &Unreadable, span: &Span) {
        self.metrics.delivery(Delivered::Parked);
        span.in_scope(|| {
            error!(self.log, "event parked: it can't be read";
                "error.message" => %error, "messaging.queue" => topology::PARKING_QUEUE);
        });
        self.answer(delivery.acker.reject(BasicRejectOptions { requeue: false })).await;
    }

    /// An answer that does not reach the broker makes it deliver again, and the inbox knows the event then.
    async fn answer(&self, answer: impl Future<Output = lapin::Result<bool>>) {
        match timeout(ACK_DEADLINE, answer).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) | Err(_) => warn!(self.log, "delivery not acknowledged, it will come again"),
            Ok(Err(error)) => {
                warn!(self.log, "delivery not acknowledged, it will come again";
                    "error.message" => Chain(&error));
            }
        }
    }
}

fn delivered(is_new: bool) -> Delivered {
    if is_new { Delivered::Accepted } else { Delivered::Duplicate }
}

impl From<&Received> for Arrival {
    fn from(received: &Received) -> Self {
        Self { event: received.event.clone(), context: TraceContext::of(&received.span) }
    }
}
