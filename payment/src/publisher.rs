//! The actor Publisher: brings what is in the outbox to the broker.
//!
//! Receives [`Relay`] from the ledger and from its own clock, and [`Drain`] when the service stops. One pass at
//! a time: claim, publish a window, wait for its confirms, mark. A pass that dies anywhere leaves a lease
//! that runs out; the event is published again with the same id, and the consumer drops what it knows.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Confirmation};
use payment_api::broker::{Broker, BrokerError, Link};
use payment_api::{event, topology};
use slog::{Logger, debug, info, warn};
use telemetry::Chain;
use telemetry::amqp::{Destination, publish_span, with_context};
use telemetry::propagation::{TraceContext, annotate};
use tokio::time::timeout;
use tracing::Instrument;
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::store::{OutboxEvent, Store, StoreError};

/// Events in flight at once.
const WINDOW: u32 = 64;
/// Longer than any pass: a claim outlives its pass only if the process dies.
const LEASE: Duration = Duration::from_secs(30);
const CONFIRM_DEADLINE: Duration = Duration::from_secs(5);
/// How often the outbox is looked at without being told to.
const PERIOD: Duration = Duration::from_secs(1);
const PERSISTENT: u8 = 2;

/// There may be something in the outbox.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Relay;

/// Publish what is in the outbox as far as the broker can take it, then let go of the broker.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Drain;

/// Why a pass ended early; what it had claimed is still in the outbox.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("no link to the broker")]
    Broker(#[from] BrokerError),
    #[error("the broker refused a publish")]
    Amqp(#[from] lapin::Error),
    #[error("the outbox can't be used")]
    Store(#[from] StoreError),
    #[error("{0} events were not confirmed")]
    Unconfirmed(usize),
}

/// The one who talks to the broker.
pub struct Publisher {
    outbox: Outbox,
    link: Option<Link>,
    connected: Arc<AtomicBool>,
    /// Whether the last pass failed: an outage is worth one line, not one each second.
    failing: bool,
    log: Logger,
}

/// What a pass needs, apart from the link.
#[derive(Clone)]
struct Outbox {
    store: Store,
    broker: Arc<Broker>,
    metrics: Metrics,
    log: Logger,
}

impl Publisher {
    /// A publisher of what is in `store`; it dials when there is something to do.
    pub fn new(store: Store, broker: Broker, metrics: Metrics, log: &Logger) -> Self {
        let log = log.new(slog::o!("actor" => "publisher"));
        let outbox = Outbox { store, broker: Arc::new(broker), metrics, log: log.clone() };
        Self { outbox, link: None, connected: Arc::new(AtomicBool::new(false)), failing: false, log }
    }

    /// A flag that tells whether there is a link to the broker.
    pub fn connected(&self) -> Arc<AtomicBool> {
        self.connected.clone()
    }

    /// One pass, alone: [`AtomicResponse`] keeps the mailbox waiting, so that no event is claimed twice.
    fn pass(&mut self) -> impl ActorFuture<Self, Output = ()> + 'static {
        let (outbox, mut link) = (self.outbox.clone(), self.link.take());
        async move {
            let outcome = outbox.relay(&mut link).await;
            if outcome.is_err()
                && let Some(link) = link.take()
            {
                // A channel is not to be trusted after an error.
                link.close().await;
            }
            (link, outcome)
        }
        .into_actor(self)
        .map(|(link, outcome), publisher, _| publisher.passed(link, outcome))
    }

    fn passed(&mut self, link: Option<Link>, outcome: Result<(), PassError>) {
        self.connected.store(link.is_some(), Ordering::Relaxed);
        self.outbox.metrics.broker_connected.set(i64::from(link.is_some()));
        self.link = link;
        match (&outcome, self.failing) {
            (Err(error), false) => {
                warn!(self.log, "publishing failed, events wait in the outbox"; "error.message" => Chain(error));
            }
            (Err(error), true) => debug!(self.log, "publishing still fails"; "error.message" => Chain(error)),
            (Ok(()), true) => info!(self.log, "publishing works again"),
            (Ok(()), false) => {}
        }
        self.failing = outcome.is_err();
    }
}

impl Actor for Publisher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Two: one pass at work, one due. More would only find an empty outbox.
        context.set_mailbox_capacity(1);
        context.notify(Relay);
        context.run_interval(PERIOD, |_, context| context.notify(Relay));
    }
}

impl Handler<Relay> for Publisher {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Relay, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(self.pass()))
    }
}

impl Handler<Drain> for Publisher {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Drain, _: &mut Self::Context) -> Self::Result {
        let close = |(), publisher: &mut Self, _: &mut Context<Self>| {
            let link = publisher.link.take();
            async move {
                if let Some(link) = link {
                    link.close().await;
                }
            }
            .into_actor(publisher)
        };
        // Stopping any earlier would drop this very future, and its answer with it.
        let stop = |(), _: &mut Self, context: &mut Context<Self>| context.stop();
        AtomicResponse::new(Box::pin(self.pass().then(close).map(stop)))
    }
}

impl Outbox {
    /// Publishes window after window until the outbox is empty.
    async fn relay(&self, link: &mut Option<Link>) -> Result<(), PassError> {
        let outcome = self.relay_windows(link).await;
        if let Ok(pending) = self.store.pending().await {
            self.metrics.outbox_pending.set(pending);
        }
        outcome
    }

    async fn relay_windows(&self, link: &mut Option<Link>) -> Result<(), PassError> {
        // Before claiming: without a broker there is nothing to be done with a claim.
        let link = self.ensure(link).await?;
        loop {
            let window = self.store.claim(WINDOW, LEASE).await?;
            if window.is_empty() {
                return Ok(());
            }
            let started = Instant::now();
            let confirmed = self.publish(link, &window).await;
            let (published, unconfirmed): (Vec<_>, Vec<_>) =
                window.iter().map(|event| event.id).partition(|id| confirmed.contains(id));
            self.metrics.published(published.len(), unconfirmed.len(), started.elapsed().as_secs_f64());
            self.store.mark_published(&published).await?;
            if !unconfirmed.is_empty() {
                self.store.release(&unconfirmed).await?;
                return Err(PassError::Unconfirmed(unconfirmed.len()));
            }
        }
    }

    async fn ensure<'a>(&self, link: &'a mut Option<Link>) -> Result<&'a Link, PassError> {
        let open = match link.take() {
            Some(open) if open.is_open() => open,
            _ => {
                let link = self.broker.connect("payment-service publisher").await?;
                link.channel.confirm_select(ConfirmSelectOptions::default()).await?;
                info!(self.log, "connected to the broker");
                link
            }
        };
        Ok(link.insert(open))
    }

    /// The ids that the broker has taken for good.
    ///
    /// lapin can pair a returned message with the confirm of another publish, so that the window is judged as
    /// a whole: what came back is known by its own message id, never by the confirm it came with.
    async fn publish(&self, link: &Link, window: &[OutboxEvent]) -> HashSet<Uuid> {
        let answers = join_all(window.iter().map(|event| self.publish_one(link, event))).await;
        let mut confirmed = HashSet::new();
        let mut returned = HashSet::new();
        for (event, answer) in window.iter().zip(answers) {
            match answer {
                Ok(confirmation) => {
                    if confirmation.is_ack() {
                        confirmed.insert(event.id);
                    }
                    if let Some(message) = confirmation.take_message() {
                        let id = message.delivery.properties.message_id().as_ref();
                        returned.extend(id.and_then(|id| id.as_str().parse::<Uuid>().ok()));
                    }
                }
                Err(error) => debug!(self.log, "publish not confirmed"; "error.message" => Chain(&error)),
            }
        }
        &confirmed - &returned
    }

    async fn publish_one(&self, link: &Link, event: &OutboxEvent) -> Result<Confirmation, PassError> {
        let id = event.id.to_string();
        let to = Destination { exchange: topology::EXCHANGE, routing_key: &event.routing_key };
        let span = publish_span(&event.trace_context, to, &id, event.payload.len());
        let headers = with_context(FieldTable::default(), &TraceContext::of(&span));
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(event::CONTENT_TYPE.into())
            .with_type(event.routing_key.as_str().into())
            .with_message_id(id.as_str().into())
            .with_app_id(crate::SERVICE.name.into())
            .with_timestamp(seconds_now())
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let failed = span.clone();
        let confirmed = async {
            annotate("order.id", event.order_id.to_string());
            let confirm = link.channel.basic_publish(
                topology::EXCHANGE.into(),
                event.routing_key.as_str().into(),
                options,
                &event.payload,
                properties,
            );
            let confirmation = confirm.await?.await?;
            info!(self.log, "event published"; "event.type" => &event.routing_key,
                "message.id" => &id, "order.id" => %event.order_id);
            Ok(confirmation)
        }
        .instrument(span);
        let answer = timeout(CONFIRM_DEADLINE, confirmed).await.unwrap_or(Err(PassError::Unconfirmed(1)));
        if answer.is_err() {
            failed.record("error.type", "unconfirmed");
        }
        answer
    }
}

fn seconds_now() -> u64 {
    u64::try_from(time::OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0)
}
