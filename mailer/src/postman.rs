//! The actor Postman: sends what is in the inbox.
//!
//! Receives [`Deliver`] from the consumer and from its own clock, [`Simulated`] and [`Simulate`] from HTTP, and [`Stop`]
//! when the service stops. Many e-mails are under way at once. What fails is tried again after a growing delay that the inbox remembers; what
//! can't succeed becomes a dead letter; what may have arrived or not is sent again or held, as the policy says.

mod verdict;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use lettre::message::Mailbox;
use service::simulation::{ChangeSimulation, ReadSimulation, happens};
use slog::{Logger, error, info, warn};
use store::StoreError;
use telemetry::propagation::link;
use telemetry::{Chain, Traced};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tracing::{Instrument, Span, field::Empty, info_span};

use self::verdict::Verdict;
use crate::config::{Config, Policy};
use crate::letter::{self, LetterError};
use crate::metrics::{Email, Metrics, Uncertain};
use crate::simulation::Simulation;
use crate::smtp;
use crate::store::{Due, Outcome, Store};
use crate::transport::{Fate, NotMarked, Transport, TransportError};

/// E-mails under way at once.
const MOST_UNDER_WAY: u32 = 256;
/// With the longest attempt: a claim outlives its attempt only if the process dies.
const LEASE: Duration = smtp::LONGEST.saturating_add(Duration::from_secs(30));
/// How often the inbox is looked at without being told to, and what became of an e-mail is written down again where
/// that has failed.
const PERIOD: Duration = Duration::from_secs(1);
/// How often old e-mails are looked for.
const FORGET_PERIOD: Duration = Duration::from_secs(60 * 60);

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
    #[error("a failure was simulated")]
    Simulated,
    #[error("the service stopped while the mail server had the e-mail")]
    Abandoned,
}

impl SendError {
    fn fate(&self) -> Fate {
        match self {
            Self::Letter(_) => Fate::Refused,
            Self::Transport(error) => error.fate(),
            Self::Simulated => Fate::NotTaken,
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
    simulation: Simulation,
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
            simulation: config.simulation(),
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

/// Through the mailbox like everybody: what an actor notifies itself of runs beside an atomic answer, and two claims at
/// once would both be made for the same room.
fn look(context: &Context<Postman>) {
    // Full means that a look is due already.
    let _ = context.address().try_send(Deliver);
}

impl Actor for Postman {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        look(context);
        context.run_interval(PERIOD, |postman, context| {
            look(context);
            let (store, metrics) = (postman.round.store.clone(), postman.round.metrics.clone());
            actix::spawn(async move {
                if let Ok(queued) = store.queued().await {
                    metrics.inbox_queued.set(queued);
                }
            });
        });
        context.run_interval(FORGET_PERIOD, |postman, _| {
            let Round { store, log, .. } = postman.round.clone();
            actix::spawn(async move {
                if let Err(error) = store.forget_old().await {
                    warn!(log, "old e-mails can't be forgotten yet"; "error.message" => Chain(&error));
                }
            });
        });
    }
}

impl Handler<Deliver> for Postman {
    /// One claim at a time, so that it never asks for more than there is room for.
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: Deliver, _: &mut Self::Context) -> Self::Result {
        let room = u32::try_from(self.under_way.available_permits()).unwrap_or(MOST_UNDER_WAY);
        let room = if self.stopping || self.round.simulation.paused { 0 } else { room };
        let round = self.round.clone();
        let claim = async move {
            if room == 0 {
                return Ok(Vec::new());
            }
            round.store.claim(room, LEASE.saturating_add(round.simulation.latency)).await
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

impl Handler<ReadSimulation<Simulation>> for Postman {
    type Result = MessageResult<ReadSimulation<Simulation>>;

    fn handle(&mut self, _: ReadSimulation<Simulation>, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.round.simulation)
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
        self.round.simulation = simulation;
        span.in_scope(|| {
            info!(self.round.log, "simulation changed";
                "simulation.latency_ms" => simulation.latency.as_millis(),
                "simulation.paused" => simulation.paused,
                "simulation.failure_rate" => simulation.failure_rate);
        });
        look(context);
        MessageResult(simulation)
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
            messaging.message.id = %due.event.id,
            order.id = %due.event.data.order_id,
            error.type = Empty,
        );
        match &due.replay_context {
            Some(replay) => {
                replay.adopt(&span);
                link(&span, &due.trace_context);
            }
            None => due.trace_context.adopt(&span),
        }
        self.attempt(due).instrument(span).await;
    }

    async fn attempt(self, due: Due) {
        let order = due.event.data.order_id;
        let log =
            self.log.new(slog::o!("email.attempt" => due.attempt, "event.id" => due.event.id.to_string(),
            "order.id" => order.to_string()));
        let sent = match self.policy {
            Policy::Hold if due.handed_over => Err(SendError::Abandoned),
            _ => {
                if due.handed_over {
                    self.declare(&SendError::Abandoned, &log);
                }
                info!(log, "sending e-mail"; "email.transport" => self.transport.name());
                self.hand_over(&due).await
            }
        };
        if sent.is_err() {
            Span::current().record("error.type", "send").record("otel.status_code", "ERROR");
        }
        let outcome = self.judge(&due, &sent, &log);
        service::crash::point("mailer.after_answer");
        // To forget it would make an e-mail uncertain whose fate is known.
        while let Err(error) = self.store.record_outcome(&due, outcome.clone()).await {
            error!(log, "the inbox can't be written: what became of an e-mail is written down again";
                "error.message" => Chain(&error));
            sleep(PERIOD).await;
        }
    }

    /// Says, before it happens, that a customer may get an e-mail twice.
    fn declare(&self, why: &SendError, log: &Logger) {
        self.metrics.uncertain(Uncertain::Resent);
        warn!(log, "an e-mail may be sent twice"; "error.message" => Chain(why));
    }

    fn judge(&self, due: &Due, sent: &Result<(), SendError>, log: &Logger) -> Outcome {
        let Err(failure) = sent else {
            self.metrics.email(Email::Sent);
            info!(log, "e-mail sent"; "email.transport" => self.transport.name());
            return Outcome::Sent;
        };
        let (fate, error) = (failure.fate(), Chain(failure).to_string());
        let deadline = due.queued_at + self.deadline;
        match Verdict::after(fate, self.policy, due.attempt, deadline, due.uncertain) {
            Verdict::Retry(delay) => {
                self.metrics.email(Email::Retried);
                let uncertain = fate == Fate::Uncertain;
                if uncertain {
                    self.declare(failure, log);
                }
                warn!(log, "e-mail not sent, it will be tried again";
                    "email.retry_in_ms" => delay.as_millis(), "error.message" => &error);
                Outcome::Retry { delay, error, uncertain }
            }
            Verdict::Dead => {
                self.metrics.email(Email::Dead);
                error!(log, "e-mail given up: a dead letter"; "error.message" => &error);
                Outcome::Dead { error }
            }
            Verdict::Held => {
                self.metrics.uncertain(Uncertain::Held);
                warn!(log, "e-mail held: it may have been sent or not"; "error.message" => &error);
                // The attempt that found it abandoned was none.
                let attempts = due.attempt - u32::from(matches!(failure, SendError::Abandoned));
                Outcome::Held { attempts, error }
            }
        }
    }

    async fn hand_over(&self, due: &Due) -> Result<(), SendError> {
        let letter = letter::write(&due.event, &self.from)?;
        sleep(self.simulation.latency).await;
        if happens(self.simulation.failure_rate) {
            return Err(SendError::Simulated);
        }
        service::crash::point("mailer.before_smtp");
        let mark = async { if self.store.hand_over(due).await? { Ok(()) } else { Err(NotMarked::Lost) } };
        Ok(self.transport.send(letter, &due.event.data.order_id.to_string(), mark).await?)
    }
}
