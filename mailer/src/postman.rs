//! The actor Postman: sends the e-mails of the events in the inbox.
//!
//! Receives [`SendDueEmails`] from the consumer, from the dead letters and from its own timer, [`ReadSimulation`] and
//! [`ChangeSimulation`] from `http`, and [`StopSending`] when the service stops. Many e-mails are in flight at once. An attempt
//! that failed is repeated after a growing delay that the inbox keeps; an e-mail that can't succeed becomes a dead letter; one
//! that may have been delivered is sent again or held, as the policy says.

mod attempt;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix::prelude::*;
use service::simulation::{ChangeSimulation, ReadSimulation};
use slog::{Logger, error, info, warn};
use store::{Claim, SetAside, StoreError};
use telemetry::{Chain, Traced};
use tokio::sync::Semaphore;

use self::attempt::Shared;
use crate::config::Config;
use crate::metrics::{Metrics, Sending};
use crate::simulation::Simulation;
use crate::store::{Due, Store};
use crate::transport::{self, Transport};

/// Send the e-mails that are due; there may be one.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SendDueEmails;

/// Begin no more attempts, and finish those in flight.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopSending;

/// E-mails in flight at once.
pub const MAX_IN_FLIGHT: u32 = 256;
/// Longer than the longest attempt: a claim outlives its attempt only if the process dies.
const LEASE: Duration = transport::MAX_ATTEMPT.saturating_add(Duration::from_secs(30));
/// Between two claims without a message.
const PERIOD: Duration = Duration::from_secs(1);
/// Between two removals of old e-mails.
const FORGET_PERIOD: Duration = Duration::from_secs(60 * 60);

/// The sender of e-mails.
pub struct Postman {
    shared: Shared,
    in_flight: Arc<Semaphore>,
    /// True if the last claim left rows that are due, for want of room.
    has_more: Arc<AtomicBool>,
    is_stopping: bool,
}

impl Postman {
    /// A postman for the inbox in `store`.
    pub fn new(config: &Config, store: Store, transport: Transport, metrics: Metrics, log: &Logger) -> Self {
        let shared = Shared {
            store,
            transport,
            from: config.mail_from.clone(),
            simulation: config.simulation(),
            deadline: config.mail_deadline,
            policy: config.mail_uncertain,
            metrics,
            log: log.new(slog::o!("omnitrace.actor" => "postman")),
        };
        let in_flight = Arc::new(Semaphore::new(MAX_IN_FLIGHT as usize));
        Self { shared, in_flight, has_more: Arc::default(), is_stopping: false }
    }

    fn attempt_all(&self, claimed: Result<Claim<Due>, StoreError>, context: &mut Context<Self>) {
        let due = match claimed {
            Ok(claim) => {
                for SetAside { key, reason } in &claim.set_aside {
                    self.shared.metrics.sending(Sending::Dead);
                    error!(self.shared.log, "e-mail given up: a dead letter";
                        "messaging.message.id" => key, "error.message" => reason);
                }
                claim.items
            }
            Err(error) => {
                error!(self.shared.log, "the inbox can't be read"; "error.message" => Chain(&error));
                return;
            }
        };
        for due in due {
            let (shared, postman, has_more) = (self.shared.clone(), context.address(), self.has_more.clone());
            // There is a permit for each claimed event: only this actor takes them.
            let Ok(permit) = self.in_flight.clone().try_acquire_owned() else { return };
            // Not `context.spawn`: an attempt must end, also when this actor stops.
            actix::spawn(async move {
                shared.send(due).await;
                drop(permit);
                if has_more.load(Ordering::Relaxed) {
                    // There is room for another e-mail. A full mailbox means that a claim is due already.
                    let _ = postman.try_send(SendDueEmails);
                }
            });
        }
    }
}

/// Asks for a claim through the mailbox: a message by [`AsyncContext::notify`] runs beside an atomic response, and two claims
/// at once would both count on the same room.
fn ask_for_claim(context: &Context<Postman>) {
    // A full mailbox means that a claim is due already.
    let _ = context.address().try_send(SendDueEmails);
}

impl Actor for Postman {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        ask_for_claim(context);
        context.run_interval(PERIOD, |postman, context| {
            ask_for_claim(context);
            let (store, metrics) = (postman.shared.store.clone(), postman.shared.metrics.clone());
            actix::spawn(async move {
                if let Ok(backlog) = store.backlog().await {
                    metrics.inbox_queued.set(backlog.pending);
                }
                metrics.store_log_bytes.set(i64::try_from(store.log_bytes()).unwrap_or(i64::MAX));
            });
        });
        // At the start, too: a mailer that restarts more often than once in a period would never forget.
        actix::spawn(self.shared.clone().forget());
        context.run_interval(FORGET_PERIOD, |postman, _| drop(actix::spawn(postman.shared.clone().forget())));
    }
}

impl Shared {
    /// Forgets the e-mails that were sent long ago.
    async fn forget(self) {
        if let Err(error) = self.store.forget_old().await {
            warn!(self.log, "old e-mails can't be forgotten yet"; "error.message" => Chain(&error));
        }
    }
}

impl Handler<SendDueEmails> for Postman {
    /// One claim at a time, so that no more is claimed than there is room for.
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: SendDueEmails, _: &mut Self::Context) -> Self::Result {
        let room = u32::try_from(self.in_flight.available_permits()).unwrap_or(MAX_IN_FLIGHT);
        let room = if self.is_stopping || self.shared.simulation.paused { 0 } else { room };
        let shared = self.shared.clone();
        let claim = async move {
            if room == 0 {
                return None;
            }
            Some(shared.store.claim(room, LEASE.saturating_add(shared.simulation.latency)).await)
        };
        let claim = claim.into_actor(self);
        AtomicResponse::new(Box::pin(claim.map(move |claimed, postman, context| {
            let is_filled = |claim: &Claim<Due>| claim.items.len() + claim.set_aside.len() == room as usize;
            let has_more = claimed.as_ref().is_none_or(|claimed| claimed.as_ref().is_ok_and(is_filled));
            postman.has_more.store(has_more, Ordering::Relaxed);
            if let Some(claimed) = claimed {
                postman.attempt_all(claimed, context);
            }
        })))
    }
}

impl Handler<StopSending> for Postman {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopSending, _: &mut Self::Context) -> Self::Result {
        self.is_stopping = true;
        let in_flight = self.in_flight.clone();
        Box::pin(async move {
            // The semaphore is never closed, so that there can be no error.
            let _ = in_flight.acquire_many(MAX_IN_FLIGHT).await;
        })
    }
}

impl Handler<ReadSimulation<Simulation>> for Postman {
    type Result = MessageResult<ReadSimulation<Simulation>>;

    fn handle(&mut self, _: ReadSimulation<Simulation>, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.shared.simulation)
    }
}

impl Handler<Traced<ChangeSimulation<Simulation>>> for Postman {
    type Result = MessageResult<Traced<ChangeSimulation<Simulation>>>;

    fn handle(
        &mut self,
        Traced { span, message }: Traced<ChangeSimulation<Simulation>>,
        context: &mut Self::Context,
    ) -> Self::Result {
        let ChangeSimulation(simulation) = message;
        self.shared.simulation = simulation;
        span.in_scope(|| {
            info!(self.shared.log, "simulation changed";
                "simulation.latency_ms" => simulation.latency.as_millis(),
                "simulation.paused" => simulation.paused,
                "simulation.failure_rate" => simulation.failure_rate);
        });
        ask_for_claim(context);
        MessageResult(simulation)
    }
}
