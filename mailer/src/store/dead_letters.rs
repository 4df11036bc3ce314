//! The rows that were given up or held, and their replay.

use std::time::Duration;

use store::{Row, Session, StoreError};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

use super::history::{Attempt, History};
use super::{Store, rows};
use crate::dead_letter::{DeadLetter, FailedAttempt, State, Story, trace_id};
use crate::redaction::redacted;

pub(super) const LIST: &str = "SELECT event_id, order_id, trace_context, state, error, attempts, received_at FROM inbox \
     WHERE state IN ('dead', 'uncertain') ORDER BY received_at LIMIT $1";

pub(super) const FIND: &str = "SELECT event_id, order_id, trace_context, state, error, attempts, received_at, \
     replay_context, history, payload FROM inbox WHERE event_id = $1 AND state IN ('dead', 'uncertain')";

pub(super) const FORGET: &str = "DELETE FROM inbox WHERE event_id IN (SELECT event_id FROM inbox \
     WHERE state IN ('dead', 'uncertain') AND queued_at <= $1 ORDER BY received_at LIMIT 500)";

pub(super) const REPLAY: &str = "UPDATE inbox SET state = 'queued', attempts = 0, due_at = $1, queued_at = $1, lease = NULL, \
     leased_until = 0, handed_over = 0, replay_context = $2 \
     WHERE state IN ('dead', 'uncertain') AND ($3 = '' OR event_id = $3)";

// Finished like a sent one: another delivery of the event must not bring it back before it is forgotten.
pub(super) const DISCARD: &str = "UPDATE inbox SET state = 'sent', sent_at = $1, error = 'discarded', lease = NULL \
     WHERE state IN ('dead', 'uncertain') AND ($2 = '' OR event_id = $2)";

impl Store {
    /// The dead letters and the held e-mails, the oldest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let list = async move |session: &Session<'_>| {
            session.query(LIST, &[limit.into()]).await?.into_iter().map(decode).collect()
        };
        self.database.read(list).await
    }

    /// The dead letter or held e-mail of this event, with its story.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn dead_letter(&self, event: Uuid) -> Result<Option<Story>, StoreError> {
        let event = event.to_string();
        let find = async move |session: &Session<'_>| {
            session.query(FIND, &[event.as_str().into()]).await?.pop().map(decode_story).transpose()
        };
        self.database.read(find).await
    }

    /// Deletes dead letters that were received or put back `retention` ago or earlier; returns their number.
    ///
    /// # Errors
    /// When the database can't be written; the rest is deleted the next time.
    pub async fn forget_dead_letters(&self, retention: Duration) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let forget = async move |session: &Session<'_>| {
                session.execute(FORGET, &[session.before(retention).into()]).await
            };
            match self.database.write(forget).await? {
                0 => return Ok(all),
                forgotten => all += forgotten,
            }
        }
    }

    /// Queues one dead letter again, or all of them, as if it had just been received; returns their number. `context`
    /// is the trace context of the request for it.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn replay(&self, event: Option<Uuid>, context: &TraceContext) -> Result<u64, StoreError> {
        let event = event.map(|event| event.to_string()).unwrap_or_default();
        let context = serde_json::to_string(context).map_err(rows::undecodable)?;
        let replay = async move |session: &Session<'_>| {
            session
                .execute(REPLAY, &[session.now.into(), context.as_str().into(), event.as_str().into()])
                .await
        };
        let replayed = self.database.write(replay).await.inspect_err(|error| self.inbox.failed(error))?;
        self.inbox.added(replayed);
        Ok(replayed)
    }

    /// Gives up one dead letter for good, or all of them; returns their number.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn discard(&self, event: Option<Uuid>) -> Result<u64, StoreError> {
        let event = event.map(|event| event.to_string()).unwrap_or_default();
        let discard = async move |session: &Session<'_>| {
            session.execute(DISCARD, &[session.now.into(), event.as_str().into()]).await
        };
        self.database.write(discard).await
    }
}

fn decode_story(mut row: Row) -> Result<Story, StoreError> {
    let letter = decode_letter(&mut row)?;
    let replay = row.take::<Option<String>>()?.and_then(|context| rows::context(&context).ok());
    let History(attempts) = History::read(row.take::<Option<String>>()?.as_deref());
    let failed = attempts
        .into_iter()
        .map(|Attempt { at, answer }| FailedAttempt { at: rows::time_of(at).ok(), answer });
    Ok(Story {
        letter,
        replay_trace_id: replay.as_ref().and_then(trace_id),
        history: failed.collect(),
        event: redacted(&row.take::<Vec<u8>>()?),
    })
}

fn decode(mut row: Row) -> Result<DeadLetter, StoreError> {
    decode_letter(&mut row)
}

fn decode_letter(row: &mut Row) -> Result<DeadLetter, StoreError> {
    let (event_id, order_id) = (row.take()?, row.take()?);
    // It may be here because its context can't be read.
    let context = rows::context(&row.take::<String>()?).unwrap_or_default();
    let state = if row.take::<String>()? == "dead" { State::Dead } else { State::Uncertain };
    let reason = row.take::<Option<String>>()?.unwrap_or_default();
    let (attempts, received_at) = (rows::number(row)?, rows::timestamp(row)?);
    Ok(DeadLetter::new(event_id, order_id, &context, state, reason, attempts, Some(received_at)))
}
