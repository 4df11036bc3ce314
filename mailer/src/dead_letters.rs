//! The actor DeadLetters: lists what the mailer has given up, held or parked, puts it back or discards it.
//!
//! Receives [`ListDeadLetters`], [`FindDeadLetter`], [`ReplayDeadLetters`] and [`DiscardDeadLetters`] from `http`; sends [`SendDueEmails`] to the postman. One message at
//! a time: a list holds the messages of the parking queue while it reads them, and a replay beside it would not find them.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join;
use service::amqp::Broker;
use slog::{Logger, info, warn};
use store::StoreError;
use telemetry::propagation::TraceContext;
use telemetry::{Chain, Traced};
use tracing::Instrument;
use uuid::Uuid;

use crate::config::Config;
use crate::dead_letter::{DeadLetter, Story};
use crate::parking::{self, ParkingError};
use crate::postman::SendDueEmails;
use crate::store::Store;

/// List the oldest dead letters, at most so many.
#[derive(Message)]
#[rtype(result = "Result<Vec<DeadLetter>, DeadLetterError>")]
pub struct ListDeadLetters(pub u32);

/// Find the dead letter with this event id.
#[derive(Message)]
#[rtype(result = "Result<Option<Story>, DeadLetterError>")]
pub struct FindDeadLetter(pub String);

/// Put back the dead letter with this event id, or all; returns their number.
#[derive(Message)]
#[rtype(result = "Result<u64, DeadLetterError>")]
pub struct ReplayDeadLetters(pub Option<String>);

/// Discard the dead letter with this event id, or all; returns their number.
#[derive(Message)]
#[rtype(result = "Result<u64, DeadLetterError>")]
pub struct DiscardDeadLetters(pub Option<String>);

/// Forget the dead letters that are older than their retention.
#[derive(Message)]
#[rtype(result = "()")]
struct ForgetDeadLetters;

/// Between two removals of old dead letters.
const FORGET_PERIOD: Duration = Duration::from_secs(60 * 60);

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

/// The dead letters in the inbox and in the parking queue.
pub struct DeadLetters {
    shared: Shared,
}

#[derive(Clone)]
struct Shared {
    store: Store,
    broker: Arc<Broker>,
    postman: Recipient<SendDueEmails>,
    /// Zero keeps them.
    retention: Duration,
    log: Logger,
}

impl DeadLetters {
    /// The dead letters in `store` and at `broker`.
    pub fn new(
        config: &Config,
        store: Store,
        broker: Arc<Broker>,
        postman: Recipient<SendDueEmails>,
        log: &Logger,
    ) -> Self {
        let log = log.new(slog::o!("omnitrace.actor" => "dead_letters"));
        let retention = config.mail_dead_letter_retention;
        Self { shared: Shared { store, broker, postman, retention, log } }
    }
}

impl Actor for DeadLetters {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if self.shared.retention.is_zero() {
            return;
        }
        // At the start, too: a mailer that restarts more often than once in a period would never forget. Through the mailbox:
        // what is notified runs beside an atomic response.
        let forget = |context: &Context<Self>| drop(context.address().try_send(ForgetDeadLetters));
        forget(context);
        context.run_interval(FORGET_PERIOD, move |_, context| forget(context));
    }
}

impl Handler<ForgetDeadLetters> for DeadLetters {
    type Result = AtomicResponse<Self, ()>;

    fn handle(&mut self, _: ForgetDeadLetters, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        AtomicResponse::new(Box::pin(async move { shared.forget().await }.into_actor(self)))
    }
}

impl Handler<Traced<ListDeadLetters>> for DeadLetters {
    type Result = AtomicResponse<Self, Result<Vec<DeadLetter>, DeadLetterError>>;

    fn handle(&mut self, list: Traced<ListDeadLetters>, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        let listed = async move { shared.list(list.message.0).await }.instrument(list.span);
        AtomicResponse::new(Box::pin(listed.into_actor(self)))
    }
}

impl Handler<Traced<FindDeadLetter>> for DeadLetters {
    type Result = AtomicResponse<Self, Result<Option<Story>, DeadLetterError>>;

    fn handle(&mut self, find: Traced<FindDeadLetter>, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        let found = async move { shared.find(&find.message.0).await }.instrument(find.span);
        AtomicResponse::new(Box::pin(found.into_actor(self)))
    }
}

impl Handler<Traced<ReplayDeadLetters>> for DeadLetters {
    type Result = AtomicResponse<Self, Result<u64, DeadLetterError>>;

    fn handle(&mut self, replay: Traced<ReplayDeadLetters>, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        let context = TraceContext::of(&replay.span);
        let replayed = async move { shared.replay(replay.message.0, &context).await }.instrument(replay.span);
        AtomicResponse::new(Box::pin(replayed.into_actor(self)))
    }
}

impl Handler<Traced<DiscardDeadLetters>> for DeadLetters {
    type Result = AtomicResponse<Self, Result<u64, DeadLetterError>>;

    fn handle(&mut self, discard: Traced<DiscardDeadLetters>, _: &mut Self::Context) -> Self::Result {
        let shared = self.shared.clone();
        let discarded = async move { shared.discard(discard.message.0).await }.instrument(discard.span);
        AtomicResponse::new(Box::pin(discarded.into_actor(self)))
    }
}

impl Shared {
    async fn list(&self, limit: u32) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut letters = self.store.dead_letters(limit).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        letters.extend(parking::list(&self.broker, limit).await?);
        letters.sort_by_key(|letter| letter.received_at);
        letters.truncate(limit);
        Ok(letters)
    }

    async fn find(&self, id: &str) -> Result<Option<Story>, DeadLetterError> {
        // Only a parked message can have an id that is none of an event.
        if let Ok(event) = Uuid::parse_str(id)
            && let Some(story) = self.store.dead_letter(event).await?
        {
            return Ok(Some(story));
        }
        Ok(parking::find(&self.broker, id).await?)
    }

    async fn replay(&self, id: Option<String>, context: &TraceContext) -> Result<u64, DeadLetterError> {
        let rows = async |event| {
            let rows = self.store.replay(event, context).await?;
            if rows > 0 {
                info!(self.log, "e-mails put back"; "dead_letters.replayed" => rows);
                // A full mailbox means that a claim is due already, and it will find them.
                let _ = self.postman.try_send(SendDueEmails);
            }
            Ok(rows)
        };
        let parked = async |id: Option<&str>| {
            let parked = parking::replay(&self.broker, id).await?;
            if parked > 0 {
                info!(self.log, "parked messages put back"; "dead_letters.replayed" => parked);
            }
            Ok(parked)
        };
        take_out(id.as_deref(), rows, parked).await
    }

    async fn discard(&self, id: Option<String>) -> Result<u64, DeadLetterError> {
        let rows = async |event| self.store.discard(event).await;
        let parked = async |id: Option<&str>| parking::discard(&self.broker, id).await;
        let discarded = take_out(id.as_deref(), rows, parked).await?;
        if discarded > 0 {
            warn!(self.log, "dead letters discarded"; "dead_letters.discarded" => discarded);
        }
        Ok(discarded)
    }

    async fn forget(&self) {
        let rows = async { Ok(self.store.forget_dead_letters(self.retention).await?) };
        let parked = async { Ok(parking::forget(&self.broker, self.retention).await?) };
        let (rows, parked): (Result<u64, DeadLetterError>, Result<u64, DeadLetterError>) =
            join(rows, parked).await;
        for forgotten in [rows, parked] {
            match forgotten {
                Ok(0) => {}
                Ok(number) => warn!(self.log, "dead letters are older than their retention";
                    "dead_letters.discarded" => number),
                Err(error) => warn!(self.log, "old dead letters can't be forgotten yet";
                    "error.message" => Chain(&error)),
            }
        }
    }
}

/// Takes the dead letter with this id, or all, out of the inbox by `rows` and out of the parking queue by `parked`; returns
/// their number. A letter is in one of the two.
async fn take_out(
    id: Option<&str>,
    rows: impl AsyncFnOnce(Option<Uuid>) -> Result<u64, StoreError>,
    parked: impl AsyncFnOnce(Option<&str>) -> Result<u64, ParkingError>,
) -> Result<u64, DeadLetterError> {
    let rows = match id.map(Uuid::parse_str).transpose() {
        Ok(event) => rows(event).await?,
        // Only a parked message can have such an id.
        Err(_) => 0,
    };
    let is_found = id.is_some() && rows > 0;
    Ok(if is_found { rows } else { rows + parked(id).await? })
}
