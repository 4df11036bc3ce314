//! The actor Consumer: takes deliveries from the broker into the inbox.
//!
//! Receives deliveries as a stream, [`Connect`] from itself and [`Stop`] when the service stops; sends
//! [`Deliver`] to the postman. A delivery is acknowledged after its row is committed, parked when it can't be
//! read, and otherwise left with the broker, which delivers it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use payment_api::broker::{Broker, BrokerError, Link};
use payment_api::event::PaymentEvent;
use payment_api::topology;
use slog::{Logger, error, info, warn};
use telemetry::Chain;
use telemetry::amqp::{Destination, context_of, process_span};
use telemetry::propagation::{TraceContext, annotate};
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::Instrument;

use crate::metrics::{Delivered, Metrics};
use crate::parking;
use crate::postman::Deliver;
use crate::store::Store;

/// Deliveries in flight at once.
const PREFETCH: u16 = 64;
/// Between two attempts to reach the broker, or to write into a store that refuses.
const PAUSE: Duration = Duration::from_secs(1);
const ACK_DEADLINE: Duration = Duration::from_secs(5);
const TAG: &str = "mailer";

/// Dial the broker and consume.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect;

/// Take nothing new, finish what is in flight, let go of the broker.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

/// The one who listens to the broker.
pub struct Consumer {
    broker: Arc<Broker>,
    link: Option<Link>,
    connected: Arc<AtomicBool>,
    stopping: bool,
    /// Whether the last attempt to connect failed: an outage is worth one line, not one each second.
    failing: bool,
    in_flight: Arc<Semaphore>,
    inbox: Inbox,
}

/// What the work on one delivery needs.
#[derive(Clone)]
struct Inbox {
    store: Store,
    postman: Recipient<Deliver>,
    metrics: Metrics,
    log: Logger,
}

impl Consumer {
    /// A consumer that fills the inbox in `store` and tells `postman`.
    pub fn new(
        broker: Arc<Broker>,
        store: Store,
        postman: Recipient<Deliver>,
        metrics: Metrics,
        log: &Logger,
    ) -> Self {
        let log = log.new(slog::o!("actor" => "consumer"));
        Self {
            broker,
            link: None,
            connected: Arc::new(AtomicBool::new(false)),
            stopping: false,
            failing: false,
            in_flight: Arc::new(Semaphore::new(usize::from(PREFETCH))),
            inbox: Inbox { store, postman, metrics, log },
        }
    }

    /// A flag that tells whether deliveries can arrive.
    pub fn connected(&self) -> Arc<AtomicBool> {
        self.connected.clone()
    }

    fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
        self.inbox.metrics.broker_connected.set(i64::from(connected));
    }

    fn dialled(
        &mut self,
        dialled: Result<(Link, lapin::Consumer), BrokerError>,
        context: &mut Context<Self>,
    ) {
        match dialled {
            Ok((link, _)) if self.stopping => {
                actix::spawn(link.close());
            }
            Ok((link, deliveries)) => {
                info!(self.inbox.log, "consuming"; "messaging.queue" => topology::MAILER_QUEUE);
                self.link = Some(link);
                self.failing = false;
                self.set_connected(true);
                context.add_stream(deliveries);
            }
            Err(error) => {
                if !self.failing {
                    warn!(self.inbox.log, "no link to the broker"; "error.message" => Chain(&error));
                }
                self.failing = true;
                context.notify_later(Connect, PAUSE);
            }
        }
    }
}

impl Actor for Consumer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.notify(Connect);
    }
}

impl Handler<Connect> for Consumer {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: Connect, _: &mut Self::Context) -> Self::Result {
        let broker = self.broker.clone();
        let dialled = async move { dial(&broker).await }.into_actor(self);
        Box::pin(dialled.map(|dialled, consumer, context| consumer.dialled(dialled, context)))
    }
}

impl StreamHandler<lapin::Result<Delivery>> for Consumer {
    fn handle(&mut self, delivery: lapin::Result<Delivery>, _: &mut Self::Context) {
        match delivery {
            Ok(delivery) => {
                let (inbox, in_flight) = (self.inbox.clone(), self.in_flight.clone());
                // Not `ctx.spawn`: what has begun must end, also when this actor stops.
                actix::spawn(async move {
                    // Never closed, so that the only error can't happen.
                    let _permit = in_flight.acquire().await;
                    inbox.take(delivery).await;
                });
            }
            Err(error) => {
                warn!(self.inbox.log, "deliveries broke off"; "error.message" => Chain(&error));
            }
        }
    }

    /// Overridden, for the default stops the actor: here the end of a stream is a reason to dial again.
    fn finished(&mut self, context: &mut Self::Context) {
        self.set_connected(false);
        if !self.stopping {
            context.notify_later(Connect, PAUSE);
        }
    }
}

impl Handler<Stop> for Consumer {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        let (link, in_flight) = (self.link.take(), self.in_flight.clone());
        Box::pin(async move {
            if let Some(link) = link {
                // Refused or too late: the broker takes back what is not acknowledged when the link closes.
                let cancel = link.channel.basic_cancel(TAG.into(), Default::default());
                let _ = timeout(ACK_DEADLINE, cancel).await;
                let _ = in_flight.acquire_many(u32::from(PREFETCH)).await;
                link.close().await;
            }
        })
    }
}

async fn dial(broker: &Broker) -> Result<(Link, lapin::Consumer), BrokerError> {
    let link = broker.connect("email-service consumer").await?;
    link.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let consume = link.channel.basic_consume(
        topology::MAILER_QUEUE.into(),
        TAG.into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let deliveries = consume.await?;
    Ok((link, deliveries))
}

impl Inbox {
    async fn take(self, delivery: Delivery) {
        let properties = &delivery.properties;
        let producer = context_of(properties.headers().as_ref());
        let id = properties.message_id().as_ref().map_or("", |id| id.as_str());
        let from =
            Destination { exchange: delivery.exchange.as_str(), routing_key: delivery.routing_key.as_str() };
        let span = process_span(&producer, from, topology::MAILER_QUEUE, id);
        async {
            match serde_json::from_slice::<PaymentEvent>(&delivery.data) {
                Ok(event) => self.keep(&delivery, &event).await,
                Err(error) => self.park(&delivery, &error).await,
            }
        }
        .instrument(span)
        .await;
    }

    async fn keep(&self, delivery: &Delivery, event: &PaymentEvent) {
        annotate("order.id", event.data.order_id.to_string());
        let context = TraceContext::current();
        let is_new = loop {
            match self.store.receive(event, &context).await {
                Ok(is_new) => break is_new,
                // Giving it back would only count against its delivery limit: the store is at fault, not it.
                Err(error) => {
                    error!(self.log, "the inbox can't be written"; "error.message" => Chain(&error));
                    sleep(PAUSE).await;
                }
            }
        };
        let outcome = if is_new { Delivered::Accepted } else { Delivered::Duplicate };
        self.metrics.delivery(outcome);
        if is_new {
            let wait = OffsetDateTime::now_utc() - event.time;
            self.metrics.queue_wait.observe(wait.as_seconds_f64().max(0.0));
            // Full means that a round is due already, and it will see this event.
            let _ = self.postman.try_send(Deliver);
        }
        info!(self.log, "event received";
            "event.duplicate" => !is_new, "event.type" => event.kind.as_str(),
            "message.id" => %event.id, "order.id" => %event.data.order_id);
        self.settle(delivery.acker.ack(BasicAckOptions::default())).await;
    }

    /// The broker moves the message to the parking queue, byte by byte as it came.
    async fn park(&self, delivery: &Delivery, error: &serde_json::Error) {
        self.metrics.delivery(Delivered::Parked);
        error!(self.log, "event parked: it can't be read";
            "error.message" => parking::unreadable(error), "messaging.queue" => topology::PARKING_QUEUE);
        self.settle(delivery.acker.reject(BasicRejectOptions { requeue: false })).await;
    }

    /// An answer that does not reach the broker makes it deliver again, and the inbox knows the event.
    async fn settle(&self, answer: impl Future<Output = lapin::Result<bool>>) {
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
