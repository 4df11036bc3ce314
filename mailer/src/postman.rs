//! The actor Postman: sends what is in the inbox.
//!
//! Receives [`Deliver`] from the consumer and from its own clock, and [`Stop`] when the service stops. Many
//! e-mails are under way at once. What fails is tried again after a growing delay that the inbox remembers; what
//! can't succeed becomes a dead letter; what may have arrived or not is sent again or held, as the policy says.

mod verdict;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use lettre::message::Mailbox;
use slog::{Logger, error, info, warn};
use telemetry::Chain;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::instrument::{WithDispatch, WithSubscriber};
use tracing::subscriber::NoSubscriber;
use tracing::{Instrument, Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use self::verdict::Verdict;
use crate::config::{Config, Policy};
use crate::letter::{self, LetterError};
use crate::metrics::{Email, Metrics, Uncertain};
use crate::smtp;
use crate::store::{Due, Store, StoreError};
use crate::transport::{Fate, Transport, TransportError};

/// E-mails under way at once.
const MOST_UNDER_WAY: u32 = 64;
/// With the longest attempt: a claim outlives its attempt only if the process dies.
const LEASE: Duration = smtp::LONGEST.saturating_add(Duration::from_secs(30));
/// How often the inbox is looked at without being told to.
const PERIOD: Duration = Duration::from_secs(1);

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
    #[error("the service stopped while the mail server had the e-mail")]
    Abandoned,
}

impl SendError {
    fn fate(&self) -> Fate {
        match self {
            Self::Letter(_) => Fate::Refused,
            Self::Transport(error) => error.fate(),
            Self::Abandoned => Fate::Uncertain,
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
    deadline: Duration,
    policy: Policy,
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
            deadline: config.mail_deadline,
            policy: config.mail_uncertain,
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
            if room == 0 {
                return Ok(Vec::new());
            }
            round.store.claim(room, LEASE.saturating_add(round.latency)).await
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
        match &due.replay_context {
            Some(replay) => {
                replay.adopt(&span);
                span.add_link(due.trace_context.span_context());
            }
            None => due.trace_context.adopt(&span),
        }
        self.attempt(due).instrument(span).await;
    }

    async fn attempt(self, due: Due) {
        let order = due.event.data.order_id;
        let log =
            self.log.new(slog::o!("email.attempt" => due.attempt, "message.id" => due.event.id.to_string(),
            "order.id" => order.to_string()));
        let outcome = match self.policy {
            Policy::Hold if due.handed_over => Err(SendError::Abandoned),
            _ => {
                if due.handed_over {
                    self.metrics.uncertain(Uncertain::Resent);
                    warn!(log, "an e-mail may be sent twice"; "error.message" => %SendError::Abandoned);
                }
                self.hand_over(&due).await
            }
        };
        if outcome.is_err() {
            Span::current().record("error.type", "send").record("otel.status_code", "ERROR");
        }
        let verdict = self.judge(&due, &outcome);
        let settled = unseen(self.settle(&due, verdict, &outcome, &log));
        if let Err(error) = settled.await {
            error!(log, "the inbox can't be written: what became of an e-mail is forgotten";
                "error.message" => Chain(&error));
        }
    }

    fn judge(&self, due: &Due, outcome: &Result<(), SendError>) -> Verdict {
        let Err(error) = outcome else { return Verdict::Sent };
        Verdict::after(error.fate(), self.policy, due.attempt, due.queued_at + self.deadline)
    }

    async fn settle(
        &self,
        due: &Due,
        verdict: Verdict,
        outcome: &Result<(), SendError>,
        log: &Logger,
    ) -> Result<(), StoreError> {
        let id = due.event.id;
        let reason = outcome.as_ref().err().map(|error| Chain(error).to_string()).unwrap_or_default();
        match verdict {
            Verdict::Sent => {
                self.metrics.email(Email::Sent);
                info!(log, "e-mail sent"; "email.transport" => self.transport.name());
                self.store.sent(id).await
            }
            Verdict::Retry(delay) => {
                self.metrics.email(Email::Retried);
                if matches!(outcome, Err(error) if error.fate() == Fate::Uncertain) {
                    self.metrics.uncertain(Uncertain::Resent);
                    warn!(log, "an e-mail may be sent twice"; "error.message" => &reason);
                }
                warn!(log, "e-mail not sent, it will be tried again";
                    "email.retry_in_ms" => delay.as_millis(), "error.message" => &reason);
                self.store.retry(id, delay, &reason).await
            }
            Verdict::Dead => {
                self.metrics.email(Email::Dead);
                error!(log, "e-mail given up: a dead letter"; "error.message" => &reason);
                self.store.give_up(id, &reason).await
            }
            Verdict::Held => {
                self.metrics.uncertain(Uncertain::Held);
                warn!(log, "e-mail held: it may have been sent or not"; "error.message" => &reason);
                // The attempt that found it abandoned was none.
                let attempts = due.attempt - u32::from(matches!(outcome, Err(SendError::Abandoned)));
                self.store.hold(id, attempts, &reason).await
            }
        }
    }

    async fn hand_over(&self, due: &Due) -> Result<(), SendError> {
        let letter = letter::write(&due.event, &self.from)?;
        sleep(self.latency).await;
        let mark = unseen(self.store.hand_over(due.event.id));
        Ok(self.transport.send(letter, &due.event.data.order_id.to_string(), mark).await?)
    }
}

/// Work of the store, without the current span: sqlx lends that to a thread of its own, which lets go of it at its
/// leisure. The span must have ended when the permit is given back, for then the last flush may begin.
fn unseen<F: Future>(work: F) -> WithDispatch<F> {
    work.with_subscriber(NoSubscriber::default())
}
