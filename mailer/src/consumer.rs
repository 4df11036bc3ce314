//! The actor Consumer: takes deliveries from the broker into the inbox.
//!
//! Receives deliveries as a stream, [`Connect`] from itself and [`Stop`] when the service stops; sends
//! [`Deliver`] to the postman. What has arrived together is handled together, one group at a time: events are
//! acknowledged with one answer after their rows are committed, what can't be read is parked, and everything else is
//! left with the broker, which delivers it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions};
use lapin::types::FieldTable;
use payment_api::event::{PaymentEvent, Unreadable};
use payment_api::topology;
use service::amqp::{Broker, BrokerError, Link};
use slog::{Logger, error, info, warn};
use telemetry::Chain;
use telemetry::amqp::{Destination, context_of, process_span, since_publish};
use telemetry::propagation::{TraceContext, annotate};
use tokio::time::{sleep, timeout};
use tracing::Span;

use crate::metrics::{Delivered, Metrics};
use crate::postman::Deliver;
use crate::store::{Arrival, Store};

/// Deliveries in flight at once, and so the largest group.
const PREFETCH: u16 = 256;
/// Between two attempts to reach the broker, or to write into a store that refuses.
const PAUSE: Duration = Duration::from_secs(1);
const ACK_DEADLINE: Duration = Duration::from_secs(5);
const CONSUME_DEADLINE: Duration = Duration::from_secs(5);
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
                context.add_stream(deliveries.ready_chunks(usize::from(PREFETCH)));
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

impl StreamHandler<Vec<lapin::Result<Delivery>>> for Consumer {
    fn handle(&mut self, group: Vec<lapin::Result<Delivery>>, context: &mut Self::Context) {
        let inbox = self.inbox.clone();
        // The context waits: the next group gathers meanwhile, and whoever asks to stop is answered after this one.
        context.wait(async move { inbox.take(group).await }.into_actor(self));
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
        let link = self.link.take();
        Box::pin(async move {
            if let Some(link) = link {
                // Refused or too late: the broker takes back what is not acknowledged when the link closes.
                let cancel = link.channel.basic_cancel(TAG.into(), Default::default());
                let _ = timeout(ACK_DEADLINE, cancel).await;
                link.close().await;
            }
        })
    }
}

async fn dial(broker: &Broker) -> Result<(Link, lapin::Consumer), BrokerError> {
    let link = broker.connect("email-service consumer").await?;
    let deliveries = timeout(CONSUME_DEADLINE, consume(&link)).await.map_err(|_| BrokerError::Deadline)??;
    Ok((link, deliveries))
}

async fn consume(link: &Link) -> lapin::Result<lapin::Consumer> {
    link.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (queue, options) = (topology::MAILER_QUEUE.into(), BasicConsumeOptions::default());
    link.channel.basic_consume(queue, TAG.into(), options, FieldTable::default()).await
}

/// A delivery that could be read.
struct Received {
    delivery: Delivery,
    event: PaymentEvent,
    /// Lasts until the delivery is acknowledged.
    span: Span,
    /// When it was taken up, and how long it had waited by then.
    started: Instant,
    waited: Option<Duration>,
}

impl Inbox {
    async fn take(self, group: Vec<lapin::Result<Delivery>>) {
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

    /// Commits the rows of all of them, then acknowledges all of them at once.
    async fn keep(&self, received: &[Received]) {
        service::crash::point("mailer.before_inbox");
        let arrivals: Vec<Arrival> = received.iter().map(Arrival::from).collect();
        let new = loop {
            match self.store.receive(arrivals.clone()).await {
                Ok(new) => break new,
                // Giving them back would only count against their delivery limit: the store is at fault, not they.
                Err(error) => {
                    error!(self.log, "the inbox can't be written"; "error.message" => Chain(&error));
                    sleep(PAUSE).await;
                }
            }
        };
        for (Received { event, span, waited, .. }, is_new) in received.iter().zip(&new) {
            self.metrics.delivery(delivered(*is_new));
            // In its span, which tells the log line and the measurement their trace.
            span.in_scope(|| {
                if let (true, Some(waited)) = (is_new, waited) {
                    self.metrics.waited(*waited);
                }
                info!(self.log, "event received";
                    "event.duplicate" => !is_new, "event.type" => event.kind.as_str(),
                    "event.id" => %event.id, "order.id" => %event.data.order_id);
            });
        }
        if new.contains(&true) {
            // Full means that a round is due already, and it will see these events.
            let _ = self.postman.try_send(Deliver);
        }
        service::crash::point("mailer.before_ack");
        self.acknowledge(received).await;
        for (Received { span, started, .. }, is_new) in received.iter().zip(&new) {
            span.in_scope(|| self.metrics.processed(delivered(*is_new), started.elapsed()));
        }
    }

    /// One answer for all: deliveries of one channel are numbered, and everything before the last of these is in the
    /// inbox or parked.
    async fn acknowledge(&self, received: &[Received]) {
        if let Some(last) = received.last() {
            self.settle(last.delivery.acker.ack(BasicAckOptions { multiple: true })).await;
        }
    }

    /// The broker moves the message to the parking queue, byte by byte as it came.
    async fn park(&self, delivery: &Delivery, error: &Unreadable, span: &Span) {
        self.metrics.delivery(Delivered::Parked);
        span.in_scope(|| {
            error!(self.log, "event parked: it can't be read";
                "error.message" => %error, "messaging.queue" => topology::PARKING_QUEUE);
        });
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

fn delivered(is_new: bool) -> Delivered {
    if is_new { Delivered::Accepted } else { Delivered::Duplicate }
}

impl From<&Received> for Arrival {
    fn from(received: &Received) -> Self {
        Self { event: received.event.clone(), context: TraceContext::of(&received.span) }
    }
}
