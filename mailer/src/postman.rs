//! The actor Postman: sends what is in the inbox.
//!
//! Receives [`Deliver`] from the consumer and from its own clock, and [`Stop`] when the service stops. Many
//! e-mails are under way at once. What fails is tried again after a growing delay that the inbox remembers;
//! what can't succeed, or has failed too often, becomes a dead letter.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use lettre::message::Mailbox;
use slog::{Logger, error, info, warn};
use telemetry::Chain;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::{Instrument, Span, field::Empty, info_span};

use crate::config::Config;
use crate::letter::{self, LetterError};
use crate::metrics::{Email, Metrics};
use crate::store::{Due, Store, StoreError};
use crate::transport::{Transport, TransportError};

/// E-mails under way at once.
const MOST_UNDER_WAY: u32 = 64;
/// Longer than any attempt: a claim outlives its attempt only if the process dies.
const LEASE: Duration = Duration::from_secs(120);
/// How often the inbox is looked at without being told to.
const PERIOD: Duration = Duration::from_secs(1);
/// With the delays between them: about four hours.
const MOST_ATTEMPTS: u32 = 20;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// There may be something due in the inbox.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Deliver;

/// Begin nothing new, and finish what is under way.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Stop;

/// Why an e-mail did not leave.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("there is no e-mail for this event")]
    Letter(#[from] LetterError),
    #[error("the e-mail did not leave")]
    Transport(#[from] TransportError),
}

impl SendError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::Letter(_) => true,
            Self::Transport(error) => error.is_permanent(),
        }
    }
}

/// The one who sends e-mails.
pub struct Postman {
    round: Round,
    under_way: Arc<Semaphore>,
    stopping: bool,
}

/// What sending needs.
#[derive(Clone)]
struct Round {
    store: Store,
    transport: Transport,
    from: Mailbox,
    latency: Duration,
    metrics: Metrics,
    log: Logger,
}

impl Postman {
    /// A postman for the inbox in `store`.
    pub fn new(config: &Config, store: Store, transport: Transport, metrics: Metrics, log: &Logger) -> Self {
        let round = Round {
            store,
            transport,
            from: config.mail_from.clone(),
            latency: config.mail_latency,
            metrics,
            log: log.new(slog::o!("actor" => "postman")),
        };
        Self { round, under_way: Arc::new(Semaphore::new(MOST_UNDER_WAY as usize)), stopping: false }
    }

    fn claimed(&self, claimed: Result<Vec<Due>, StoreError>, context: &mut Context<Self>) {
        let due = match claimed {
            Ok(due) => due,
            Err(error) => {
                error!(self.round.log, "the inbox can't be read"; "error.message" => Chain(&error));
                return;
            }
        };
        for due in due {
            let (round, postman) = (self.round.clone(), context.address());
            // There are as many permits as were claimed: only this actor takes them.
            let Ok(permit) = self.under_way.clone().try_acquire_owned() else { return };
            // Not `ctx.spawn`: what has begun must end, also when this actor stops.
            actix::spawn(async move {
                round.send(due, permit).await;
                // Room for another; full or closed means that it is known or does not matter any more.
                let _ = postman.try_send(Deliver);
            });
        }
    }
}

impl Actor for Postman {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.notify(Deliver);
        context.run_interval(PERIOD, |_, context| context.notify(Deliver));
    }
}

impl Handler<Deliver> for Postman {
    /// One claim at a time, so that it never asks for more than there is room for.
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Deliver, _: &mut Self::Context) -> Self::Result {
        let room = u32::try_from(self.under_way.available_permits()).unwrap_or(MOST_UNDER_WAY);
        let room = if self.stopping { 0 } else { room };
        let round = self.round.clone();
        let claim = async move {
            if let Ok(queued) = round.store.queued().await {
                round.metrics.inbox_queued.set(queued);
            }
            if room == 0 { Ok(Vec::new()) } else { round.store.claim(room, LEASE).await }
        };
        let claim = claim.into_actor(self);
        AtomicResponse::new(Box::pin(
            claim.map(|claimed, postman, context| postman.claimed(claimed, context)),
        ))
    }
}

impl Handler<Stop> for Postman {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        self.stopping = true;
        let under_way = self.under_way.clone();
        Box::pin(async move {
            // Never closed, so that the only error can't happen.
            let _ = under_way.acquire_many(MOST_UNDER_WAY).await;
        })
    }
}

impl Round {
    async fn send(self, due: Due, _permit: OwnedSemaphorePermit) {
        let span = info_span!(
            parent: None,
            "email.send",
            otel.name = "send email",
            otel.kind = "client",
            otel.status_code = Empty,
            email.transport = self.transport.name(),
            email.attempt = due.attempt,
            message.id = %due.event.id,
            order.id = %due.event.data.order_id,
            error.type = Empty,
        );
        due.trace_context.adopt(&span);
        let outcome = self.hand_over(&due).instrument(span.clone()).await;
        let (id, order) = (due.event.id, due.event.data.order_id);
        span.in_scope(|| self.tell(&due, &outcome));
        // Not in the span: sqlx lends the current one to its own thread, which lets go of it at its leisure. The
        // span must have ended when the permit is given back, for then the last flush may begin.
        let kept = match &outcome {
            Ok(()) => self.store.sent(id).await,
            Err(error) if is_final(&due, error) => self.store.give_up(id, &Chain(error).to_string()).await,
            Err(error) => self.store.retry(id, delay_after(due.attempt), &Chain(error).to_string()).await,
        };
        if let Err(error) = kept {
            span.in_scope(|| {
                error!(self.log, "the inbox can't be written, the e-mail may be sent again";
                    "error.message" => Chain(&error), "message.id" => %id, "order.id" => %order);
            });
        }
    }

    /// Counts and logs what became of an attempt.
    fn tell(&self, due: &Due, outcome: &Result<(), SendError>) {
        let (id, order) = (due.event.id, due.event.data.order_id);
        match outcome {
            Ok(()) => {
                self.metrics.email(Email::Sent);
                info!(self.log, "e-mail sent";
                    "email.transport" => self.transport.name(), "message.id" => %id, "order.id" => %order);
            }
            Err(error) if is_final(due, error) => {
                self.metrics.email(Email::Dead);
                error!(self.log, "e-mail given up: a dead letter"; "email.attempt" => due.attempt,
                    "error.message" => Chain(error), "message.id" => %id, "order.id" => %order);
            }
            Err(error) => {
                self.metrics.email(Email::Retried);
                warn!(self.log, "e-mail not sent, it will be tried again"; "email.attempt" => due.attempt,
                    "email.retry_in" => delay_after(due.attempt).as_secs(), "error.message" => Chain(error),
                    "message.id" => %id, "order.id" => %order);
            }
        }
        if outcome.is_err() {
            Span::current().record("error.type", "send").record("otel.status_code", "ERROR");
        }
    }

    async fn hand_over(&self, due: &Due) -> Result<(), SendError> {
        let letter = letter::write(&due.event, &self.from)?;
        sleep(self.latency).await;
        Ok(self.transport.send(letter, &due.event.data.order_id.to_string()).await?)
    }
}

/// Whether another attempt makes no sense.
fn is_final(due: &Due, error: &SendError) -> bool {
    error.is_permanent() || due.attempt >= MOST_ATTEMPTS
}

/// Doubles from one second to a quarter of an hour.
fn delay_after(attempt: u32) -> Duration {
    FIRST_DELAY.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(LONGEST_DELAY)
}
