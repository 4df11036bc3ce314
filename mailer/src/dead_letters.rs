//! The actor DeadLetters: what the mailer has given up, held or parked, listed and put back.
//!
//! Receives [`List`] and [`Replay`] from HTTP; sends [`Deliver`] to the postman. One at a time: who looks at the
//! parking queue holds its messages for a moment, and a replay beside it would not see them.

use std::sync::Arc;

use actix::prelude::*;
use serde::Serialize;
use service::amqp::Broker;
use slog::{Logger, info};
use store::StoreError;
use telemetry::Traced;
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;
use tracing::Instrument;
use uuid::Uuid;

use crate::parking::{self, ParkingError};
use crate::postman::Deliver;
use crate::store::Store;

/// One e-mail or message that nobody works on any more.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The event; a parked message may have none.
    pub event_id: Option<String>,
    /// The order, where it can be made out.
    pub order_id: Option<String>,
    /// The trace of the order.
    pub trace_id: Option<String>,
    /// What it is.
    pub state: State,
    /// Why it is here.
    pub reason: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// When it was received, or parked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub received_at: Option<OffsetDateTime>,
    /// How long ago that was.
    pub age_seconds: Option<i64>,
}

/// What a dead letter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// An e-mail that was refused, or failed for too long.
    Dead,
    /// An e-mail that the mail server may have or not.
    Uncertain,
    /// A message that can't be read.
    Parked,
}

/// Why dead letters could not be listed or put back.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// The inbox can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The parking queue can't be used.
    #[error(transparent)]
    Parking(#[from] ParkingError),
}

/// The oldest dead letters, at most so many.
#[derive(Message)]
#[rtype(result = "Result<Vec<DeadLetter>, DeadLetterError>")]
pub struct List(pub u32);

/// Put back the one with this id, or all; answers how many.
#[derive(Message)]
#[rtype(result = "Result<u64, DeadLetterError>")]
pub struct Replay(pub Option<String>);

/// The keeper of dead letters.
pub struct DeadLetters {
    office: Office,
}

#[derive(Clone)]
struct Office {
    store: Store,
    broker: Arc<Broker>,
    postman: Recipient<Deliver>,
    log: Logger,
}

impl DeadLetter {
    pub(crate) fn new(
        event_id: Option<String>,
        order_id: Option<String>,
        context: &TraceContext,
        state: State,
        reason: String,
        attempts: u32,
        received_at: Option<OffsetDateTime>,
    ) -> Self {
        let span = context.span_context();
        let trace_id = span.is_valid().then(|| span.trace_id().to_string());
        let age_seconds = received_at.map(|at| (OffsetDateTime::now_utc() - at).whole_seconds());
        Self { event_id, order_id, trace_id, state, reason, attempts, received_at, age_seconds }
    }
}

impl DeadLetters {
    /// A keeper of what is in `store` and parked with `broker`.
    pub fn new(store: Store, broker: Arc<Broker>, postman: Recipient<Deliver>, log: &Logger) -> Self {
        let log = log.new(slog::o!("actor" => "dead_letters"));
        Self { office: Office { store, broker, postman, log } }
    }
}

impl Actor for DeadLetters {
    type Context = Context<Self>;
}

impl Handler<Traced<List>> for DeadLetters {
    type Result = AtomicResponse<Self, Result<Vec<DeadLetter>, DeadLetterError>>;

    fn handle(&mut self, Traced { span, message }: Traced<List>, _: &mut Self::Context) -> Self::Result {
        let office = self.office.clone();
        let listed = async move { office.list(message.0).await }.instrument(span);
        AtomicResponse::new(Box::pin(listed.into_actor(self)))
    }
}

impl Handler<Traced<Replay>> for DeadLetters {
    type Result = AtomicResponse<Self, Result<u64, DeadLetterError>>;

    fn handle(&mut self, Traced { span, message }: Traced<Replay>, _: &mut Self::Context) -> Self::Result {
        let office = self.office.clone();
        let context = TraceContext::of(&span);
        let replayed = async move { office.replay(message.0, &context).await }.instrument(span);
        AtomicResponse::new(Box::pin(replayed.into_actor(self)))
    }
}

impl Office {
    async fn list(&self, limit: u32) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut letters = self.store.dead_letters(limit).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        letters.extend(parking::list(&self.broker, limit).await?);
        letters.sort_by_key(|letter| letter.received_at);
        letters.truncate(limit);
        Ok(letters)
    }

    async fn replay(&self, id: Option<String>, context: &TraceContext) -> Result<u64, DeadLetterError> {
        let event = id.as_deref().map(Uuid::parse_str);
        let rows = match event {
            // Only a parked message can have such an id.
            Some(Err(_)) => 0,
            event => self.store.replay(event.and_then(Result::ok), context).await?,
        };
        if rows > 0 {
            info!(self.log, "e-mails put back"; "dead_letters.replayed" => rows);
            // Full means that a round is due already, and it will see them.
            let _ = self.postman.try_send(Deliver);
        }
        let parked = match (&id, rows) {
            (Some(_), 1..) => 0,
            _ => parking::replay(&self.broker, id.as_deref()).await?,
        };
        if parked > 0 {
            info!(self.log, "parked messages put back"; "dead_letters.replayed" => parked);
        }
        Ok(rows + parked)
    }
}
