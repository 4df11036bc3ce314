//! The actor Publisher: brings the events of the outbox to the broker.
//!
//! Receives [`RelayEvents`] from the ledger and from its own timer, and [`DrainOutbox`] when the service stops. One pass at a time:
//! claim a window, publish it, wait for its confirms, mark them. A pass that dies anywhere leaves a lease that runs out;
//! the event is published again with the same id, and the consumer drops the ids that it knows.

mod unrouted;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::future::join;
use lapin::options::ConfirmSelectOptions;
use service::amqp::{Broker, Connection, Link};
use slog::{Logger, debug, error, info, warn};
use store::{SetAside, StoreError};
use telemetry::Chain;

use self::unrouted::UnroutedError;
use crate::metrics::Metrics;
use crate::store::{Store, Window};

/// Publish the events of the outbox; one may have come in.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RelayEvents;

/// Publish the events of the outbox as far as the broker can take them, then close the connection and stop.
#[derive(Message)]
#[rtype(result = "()")]
pub struct DrainOutbox;

/// Events in flight at once.
const MAX_WINDOW: u32 = 256;
/// Longer than any pass: a claim outlives its pass only if the process dies, or is stopped for that long.
const LEASE: Duration = Duration::from_secs(20);
/// Between two checks for events that no queue took.
const UNROUTED_PERIOD: Duration = Duration::from_secs(2);
/// Between two passes without a message.
const PERIOD: Duration = Duration::from_secs(1);
/// The time of one pass while events keep coming: the next message waits for its end.
const MAX_PASS: Duration = Duration::from_secs(1);

/// Why a pass ended early; the events that it had claimed are still in the outbox.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("there is no connection to the broker")]
    Disconnected,
    #[error("the broker takes no events: its memory or disk is short")]
    Blocked,
    #[error("the outbox can't be used")]
    Store(#[from] StoreError),
    #[error("{0} events were not confirmed")]
    Unconfirmed(usize),
    #[error("events that no queue took can't be published again")]
    Unrouted(#[from] UnroutedError),
}

/// What a pass has published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relayed {
    /// All events of the outbox.
    All,
    /// As many as it had time for.
    Part,
}

/// The publisher of the outbox.
pub struct Publisher {
    shared: Shared,
    /// The last check for events that no queue took.
    unrouted_at: Option<Instant>,
    /// Whether the last pass failed: an outage is worth one line, not one each second.
    is_failing: bool,
}

/// The parts of the publisher that a pass uses.
#[derive(Clone)]
struct Shared {
    store: Store,
    connection: Connection<()>,
    metrics: Metrics,
    log: Logger,
}

impl Publisher {
    /// A publisher of the outbox in `store`, connected to `broker` from now on.
    pub fn new(store: Store, broker: Broker, metrics: Metrics, log: &Logger) -> Self {
        let log = log.new(slog::o!("omnitrace.actor" => "publisher"));
        let confirm =
            async |link: &Link| Ok(link.channel.confirm_select(ConfirmSelectOptions::default()).await?);
        let connection = Connection::open(Arc::new(broker), "payment-service publisher", confirm, &log);
        connection.show_in(metrics.broker_connected.clone());
        Self { shared: Shared { store, connection, metrics, log }, unrouted_at: None, is_failing: false }
    }

    /// The connection to the broker.
    pub fn connection(&self) -> Connection<()> {
        self.shared.connection.clone()
    }

    /// One pass that begins no window after `limit`. It is alone: [`AtomicResponse`] keeps the mailbox waiting, so that no
    /// event is claimed twice.
    fn pass(&mut self, limit: Duration) -> impl ActorFuture<Self, Output = ()> + 'static {
        let (shared, mut unrouted_at) = (self.shared.clone(), self.unrouted_at);
        let pass = async move {
            let outcome = shared.relay(&mut unrouted_at, limit).await;
            (unrouted_at, outcome)
        };
        pass.into_actor(self).map(|(unrouted_at, outcome), publisher, context| {
            publisher.unrouted_at = unrouted_at;
            publisher.note(&outcome);
            if let Ok(Relayed::Part) = outcome {
                ask_for_pass(context);
            }
        })
    }

    fn note(&mut self, outcome: &Result<Relayed, PassError>) {
        let log = &self.shared.log;
        match (outcome, self.is_failing) {
            (Err(error), false) => {
                warn!(log, "publishing failed, events wait in the outbox"; "error.message" => Chain(error));
            }
            (Err(error), true) => debug!(log, "publishing still fails"; "error.message" => Chain(error)),
            (Ok(_), true) => info!(log, "publishing works again"),
            (Ok(_), false) => {}
        }
        self.is_failing = outcome.is_err();
    }
}

/// Asks for a pass through the mailbox: a message by [`AsyncContext::notify`] runs beside an atomic response, and two passes
/// would be at work at once.
fn ask_for_pass(context: &Context<Publisher>) {
    // A full mailbox means that a pass is due already.
    let _ = context.address().try_send(RelayEvents);
}

impl Actor for Publisher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        // Two: one pass at work, one due. More would only find an empty outbox.
        context.set_mailbox_capacity(1);
        ask_for_pass(context);
        context.run_interval(PERIOD, |_, context| ask_for_pass(context));
    }
}

impl Handler<RelayEvents> for Publisher {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: RelayEvents, _: &mut Self::Context) -> Self::Result {
        AtomicResponse::new(Box::pin(self.pass(MAX_PASS)))
    }
}

impl Handler<DrainOutbox> for Publisher {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: DrainOutbox, _: &mut Self::Context) -> Self::Result {
        let close = |(), publisher: &mut Self, _: &mut Context<Self>| {
            let connection = publisher.connection();
            async move { connection.close().await }.into_actor(publisher)
        };
        // Stopping any earlier would drop this very future, and its answer with it.
        let stop = |(), _: &mut Self, context: &mut Context<Self>| context.stop();
        // No event comes in any more, and the caller has a deadline.
        AtomicResponse::new(Box::pin(self.pass(Duration::MAX).then(close).map(stop)))
    }
}

impl Shared {
    /// Publishes window after window until the outbox is empty, or `limit` is over.
    async fn relay(&self, unrouted_at: &mut Option<Instant>, limit: Duration) -> Result<Relayed, PassError> {
        // Before claiming: without a broker a claim is of no use.
        let link = self.connection.link().await;
        let outcome = match &link {
            None => Err(PassError::Disconnected),
            Some(link) if link.is_blocked() => Err(PassError::Blocked),
            Some(link) => self.relay_over(link, unrouted_at, limit).await,
        };
        let is_blocked = link.as_ref().is_some_and(|link| link.is_blocked());
        self.metrics.broker_blocked.set(i64::from(is_blocked));
        // A channel is not to be trusted after an error. A blocked connection is kept: lapin can't write to it, not even
        // the goodbye, and another one would be blocked, too.
        if let (Some(link), Err(PassError::Unconfirmed(_) | PassError::Unrouted(_))) = (&link, &outcome)
            && !is_blocked
        {
            link.give_up();
        }
        self.metrics.outbox_pending.set(self.store.pending());
        outcome
    }

    async fn relay_over(
        &self,
        link: &Link,
        unrouted_at: &mut Option<Instant>,
        limit: Duration,
    ) -> Result<Relayed, PassError> {
        if unrouted_at.is_none_or(|at| at.elapsed() > UNROUTED_PERIOD) {
            let moved = unrouted::republish(link).await?;
            if moved > 0 {
                warn!(self.log, "no queue took some events, they were published again"; "events" => moved);
            }
            *unrouted_at = Some(Instant::now());
        }
        let begun = Instant::now();
        let mut window = self.store.claim(MAX_WINDOW, LEASE).await?;
        loop {
            for SetAside { key, reason } in &window.set_aside {
                self.metrics.set_aside();
                error!(self.log, "event set aside: it can't be read"; "messaging.message.id" => key, "error.message" => reason);
            }
            if window.items.is_empty() && window.set_aside.is_empty() {
                // The commit of each later event has sent a message to this actor.
                return Ok(Relayed::All);
            }
            let is_last = begun.elapsed() > limit;
            match self.relay_window(link, window, is_last).await? {
                Some(next) => window = next,
                None => return Ok(Relayed::Part),
            }
        }
    }

    /// Publishes outside of any transaction, then marks the events that were confirmed, and claims the next unless this
    /// window is the last of its pass.
    async fn relay_window(
        &self,
        link: &Link,
        window: Window,
        is_last: bool,
    ) -> Result<Option<Window>, PassError> {
        service::crash::point("payment.before_publish");
        let unconfirmed = window::publish(link, &window.items, &self.metrics, &self.log).await;
        service::crash::point("payment.after_confirm");
        let failed = unconfirmed.len();
        let finish = self.store.finish(window, unconfirmed);
        if failed > 0 || is_last {
            finish.await?;
            return if failed > 0 { Err(PassError::Unconfirmed(failed)) } else { Ok(None) };
        }
        // Both at once are one commit.
        let (finished, next) = join(finish, self.store.claim(MAX_WINDOW, LEASE)).await;
        finished?;
        Ok(Some(next?))
    }
}
