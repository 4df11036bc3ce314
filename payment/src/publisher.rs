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
use payment_api::{event, topology};
use service::amqp::{Broker, BrokerError, Link};
use slog::{Logger, debug, info, warn};
use store::StoreError;
use telemetry::Chain;
use telemetry::amqp::{Destination, publish_span, with_context, with_publish_time};
use telemetry::propagation::{TraceContext, annotate};
use tokio::time::timeout;
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::store::{OutboxEvent, Store, Window};
use crate::unrouted::{self, UnroutedError};

/// Events in flight at once.
const WINDOW: u32 = 256;
/// Longer than any pass: a claim outlives its pass only if the process dies, or is stopped for that long.
const LEASE: Duration = Duration::from_secs(20);
/// How often events that no queue took are looked for.
const LOOK_PERIOD: Duration = Duration::from_secs(2);
const SELECT_DEADLINE: Duration = Duration::from_secs(5);
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
    #[error("events that no queue took can't be brought back")]
    Unrouted(#[from] UnroutedError),
}

/// A link in confirm mode.
struct Line {
    link: Link,
    /// When events that no queue took were looked for last.
    looked_at: Option<Instant>,
}

/// What came of handing one event to the broker.
struct Published {
    span: Span,
    answer: Result<Confirmation, PassError>,
    took: Duration,
}

/// The one who talks to the broker.
pub struct Publisher {
    outbox: Outbox,
    line: Option<Line>,
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
        Self { outbox, line: None, connected: Arc::new(AtomicBool::new(false)), failing: false, log }
    }

    /// A flag that tells whether there is a link to the broker.
    pub fn connected(&self) -> Arc<AtomicBool> {
        self.connected.clone()
    }

    /// One pass, alone: [`AtomicResponse`] keeps the mailbox waiting, so that no event is claimed twice.
    fn pass(&mut self) -> impl ActorFuture<Self, Output = ()> + 'static {
        let (outbox, mut line) = (self.outbox.clone(), self.line.take());
        async move {
            let outcome = outbox.relay(&mut line).await;
            if outcome.is_err()
                && let Some(line) = line.take()
            {
                // A channel is not to be trusted after an error.
                line.link.close().await;
            }
            (line, outcome)
        }
        .into_actor(self)
        .map(|(line, outcome), publisher, _| publisher.passed(line, outcome))
    }

    fn passed(&mut self, line: Option<Line>, outcome: Result<(), PassError>) {
        self.connected.store(line.is_some(), Ordering::Relaxed);
        self.outbox.metrics.broker_connected.set(i64::from(line.is_some()));
        self.line = line;
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

/// Through the mailbox like everybody: what an actor notifies itself of runs beside an atomic answer, and the second of two
/// passes at once would dial a line of its own.
fn look(context: &Context<Publisher>) {
    // Full means that a pass is due already.
    let _ = context.address().try_send(Relay);
}

impl Actor for Publisher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Two: one pass at work, one due. More would only find an empty outbox.
        context.set_mailbox_capacity(1);
        look(context);
        context.run_interval(PERIOD, |_, context| look(context));
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
            let line = publisher.line.take();
            async move {
                if let Some(line) = line {
                    line.link.close().await;
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
    async fn relay(&self, line: &mut Option<Line>) -> Result<(), PassError> {
        let outcome = self.relay_windows(line).await;
        if let Ok(backlog) = self.store.backlog().await {
            self.metrics.waiting(backlog);
        }
        outcome
    }

    async fn relay_windows(&self, line: &mut Option<Line>) -> Result<(), PassError> {
        // Before claiming: without a broker there is nothing to be done with a claim.
        let line = self.ensure(line).await?;
        if line.looked_at.is_none_or(|at| at.elapsed() > LOOK_PERIOD) {
            let moved = unrouted::bring_back(&line.link).await?;
            if moved > 0 {
                warn!(self.log, "no queue took some events, they were published again"; "events" => moved);
            }
            line.looked_at = Some(Instant::now());
        }
        loop {
            let window = self.store.claim(WINDOW, LEASE).await?;
            if window.events.is_empty() {
                return Ok(());
            }
            self.publish_window(&line.link, window).await?;
        }
    }

    /// Publishes outside of any transaction, then marks what was confirmed.
    async fn publish_window(&self, link: &Link, window: Window) -> Result<(), PassError> {
        service::crash::point("payment.before_publish");
        let unconfirmed = self.publish(link, &window.events).await;
        service::crash::point("payment.after_confirm");
        let failed = unconfirmed.len();
        self.store.finish(window, unconfirmed).await?;
        if failed > 0 { Err(PassError::Unconfirmed(failed)) } else { Ok(()) }
    }

    async fn ensure<'a>(&self, line: &'a mut Option<Line>) -> Result<&'a mut Line, PassError> {
        let open = match line.take() {
            Some(open) if open.link.is_open() => open,
            _ => {
                let link = self.broker.connect("payment-service publisher").await?;
                let confirms = link.channel.confirm_select(ConfirmSelectOptions::default());
                timeout(SELECT_DEADLINE, confirms).await.map_err(|_| BrokerError::Deadline)??;
                info!(self.log, "connected to the broker");
                Line { link, looked_at: None }
            }
        };
        Ok(line.insert(open))
    }

    /// The ids of those events that the broker has not taken for good.
    ///
    /// lapin can pair a returned message with the confirm of another publish, so that the window is judged as
    /// a whole: what came back is known by its own message id, never by the confirm it came with.
    async fn publish(&self, link: &Link, window: &[OutboxEvent]) -> Vec<Uuid> {
        let answers = join_all(window.iter().map(|event| self.publish_one(link, event))).await;
        let returned: HashSet<Uuid> =
            answers.iter().filter_map(|published| returned_id(published.answer.as_ref().ok()?)).collect();
        let mut unconfirmed = Vec::new();
        for (event, Published { span, answer, took }) in window.iter().zip(&answers) {
            let is_acked = matches!(answer, Ok(confirmation) if confirmation.is_ack());
            let is_taken = is_acked && !returned.contains(&event.id);
            // In its span, which tells the measurement and the log line their trace.
            span.in_scope(|| {
                self.metrics.published(is_taken, *took);
                if is_taken {
                    info!(self.log, "event published"; "event.type" => &event.routing_key,
                        "event.id" => %event.id, "order.id" => %event.order_id);
                }
            });
            if is_taken {
                continue;
            }
            span.record("error.type", "unconfirmed");
            if let Err(error) = answer {
                debug!(self.log, "publish not confirmed"; "error.message" => Chain(error));
            }
            unconfirmed.push(event.id);
        }
        unconfirmed
    }

    /// The span lasts until its window is judged.
    async fn publish_one(&self, link: &Link, event: &OutboxEvent) -> Published {
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
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let confirmed = async {
            annotate("order.id", event.order_id.to_string());
            let confirm = link.channel.basic_publish(
                topology::EXCHANGE.into(),
                event.routing_key.as_str().into(),
                options,
                &event.payload,
                properties,
            );
            let confirm = confirm.await?;
            service::crash::point("payment.before_confirm");
            Ok(confirm.await?)
        };
        let answer = timeout(CONFIRM_DEADLINE, confirmed.instrument(span.clone())).await;
        let answer = answer.unwrap_or(Err(PassError::Unconfirmed(1)));
        Published { span, answer, took: started.elapsed() }
    }
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
