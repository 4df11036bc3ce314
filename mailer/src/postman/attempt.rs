//! One attempt to send an e-mail, up to the record of its outcome.

use std::time::{Duration, Instant};

use lettre::message::Mailbox;
use service::simulation::{happens, pause};
use slog::{Logger, error, info, warn};
use telemetry::Chain;
use telemetry::propagation::link;
use tokio::time::sleep;
use tracing::{Instrument, Span, field::Empty, info_span};

use super::verdict::Verdict;
use crate::config::Policy;
use crate::email::{self, EmailError};
use crate::metrics::{Metrics, Sending, Uncertain};
use crate::simulation::Simulation;
use crate::store::{Due, Outcome, RETRY, Store};
use crate::transport::{Fate, NotMarked, Transport, TransportError};

/// Why an e-mail was not sent.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("there is no e-mail for this event")]
    Email(#[from] EmailError),
    #[error("the e-mail was not sent")]
    Transport(#[from] TransportError),
    #[error("a failure was simulated")]
    Simulated,
    #[error("the service stopped while the mail server had the e-mail")]
    Abandoned,
}

impl SendError {
    fn fate(&self) -> Fate {
        match self {
            Self::Email(_) => Fate::Refused,
            Self::Transport(error) => error.fate(),
            Self::Simulated => Fate::NotTaken,
            Self::Abandoned => Fate::Uncertain,
        }
    }
}

/// The parts of the postman that an attempt uses.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) transport: Transport,
    pub(super) from: Mailbox,
    pub(super) simulation: Simulation,
    pub(super) deadline: Duration,
    pub(super) policy: Policy,
    pub(super) metrics: Metrics,
    pub(super) log: Logger,
}

impl Shared {
    /// Makes one attempt in a span of the trace of its event.
    pub(super) async fn send(self, due: Due) {
        let span = info_span!(
            parent: None,
            "email.send",
            otel.name = "send email",
            otel.kind = "client",
            otel.status_code = Empty,
            email.transport = self.transport.name(),
            email.attempt = i64::from(due.attempt),
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
        let log = self.log.new(slog::o!("email.attempt" => due.attempt,
            "messaging.message.id" => due.event.id.to_string(), "order.id" => due.event.data.order_id.to_string()));
        let sent = match self.policy {
            Policy::Hold if due.handed_over => Err(SendError::Abandoned),
            _ => {
                if due.handed_over {
                    self.declare_resent(&SendError::Abandoned, &log);
                }
                info!(log, "sending e-mail"; "email.transport" => self.transport.name());
                let begun = Instant::now();
                let sent = self.hand_over(&due).await;
                self.metrics.attempted(begun.elapsed());
                sent
            }
        };
        if sent.is_err() {
            Span::current().record("error.type", "send").record("otel.status_code", "ERROR");
        }
        let outcome = self.judge(&due, &sent, &log);
        service::crash::point("mailer.after_answer");
        let mut backoff = RETRY;
        // Without a record, the e-mail would be uncertain although its fate is known.
        while let Err(error) = self.store.record_outcome(&due, outcome.clone()).await {
            error!(log, "the inbox can't be written: the outcome of an e-mail will be recorded later";
                "error.message" => Chain(&error));
            sleep(backoff.pause()).await;
        }
    }

    /// Declares, before it happens, that a customer may get an e-mail twice.
    fn declare_resent(&self, why: &SendError, log: &Logger) {
        self.metrics.uncertain(Uncertain::Resent);
        warn!(log, "an e-mail may be sent twice"; "error.message" => Chain(why));
    }

    fn judge(&self, due: &Due, sent: &Result<(), SendError>, log: &Logger) -> Outcome {
        let Err(failure) = sent else {
            self.metrics.sending(Sending::Sent);
            info!(log, "e-mail sent"; "email.transport" => self.transport.name());
            return Outcome::Sent;
        };
        let (fate, error) = (failure.fate(), Chain(failure).to_string());
        let deadline = due.queued_at + self.deadline;
        match Verdict::after(fate, self.policy, due.attempt, deadline, due.uncertain) {
            Verdict::Retry(delay) => {
                self.metrics.sending(Sending::Retried);
                let uncertain = fate == Fate::Uncertain;
                if uncertain {
                    self.declare_resent(failure, log);
                }
                warn!(log, "e-mail not sent, it will be tried again";
                    "email.retry_in_ms" => delay.as_millis(), "error.message" => &error);
                Outcome::Retry { delay, error, uncertain }
            }
            Verdict::Dead => {
                self.metrics.sending(Sending::Dead);
                error!(log, "e-mail given up: a dead letter"; "error.message" => &error);
                Outcome::Dead { error }
            }
            Verdict::Held => {
                self.metrics.uncertain(Uncertain::Held);
                warn!(log, "e-mail held: it may have been sent or not"; "error.message" => &error);
                // An attempt that found the e-mail abandoned sent nothing.
                let attempts = due.attempt - u32::from(matches!(failure, SendError::Abandoned));
                Outcome::Held { attempts, error }
            }
        }
    }

    async fn hand_over(&self, due: &Due) -> Result<(), SendError> {
        let email = email::compose(&due.event, &self.from)?;
        pause(self.simulation.latency).await;
        if happens(self.simulation.failure_rate) {
            return Err(SendError::Simulated);
        }
        service::crash::point("mailer.before_smtp");
        let mark = async { if self.store.hand_over(due).await? { Ok(()) } else { Err(NotMarked::Lost) } };
        Ok(self.transport.send(email, &due.event.data.order_id.to_string(), mark).await?)
    }
}
