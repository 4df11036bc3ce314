//! The rows that were given up or held, and their replay.

use store::{Row, Session, StoreError};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

use super::{Store, rows};
use crate::dead_letter::{DeadLetter, State};

pub(super) const LIST: &str = "SELECT event_id, order_id, trace_context, state, error, attempts, received_at FROM inbox \
     WHERE state IN ('dead', 'uncertain') ORDER BY received_at LIMIT $1";

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

fn decode(mut row: Row) -> Result<DeadLetter, StoreError> {
    let (event_id, order_id) = (row.take()?, row.take()?);
    // It may be here because its context can't be read.
    let context = rows::context(&row.take::<String>()?).unwrap_or_default();
    let state = if row.take::<String>()? == "dead" { State::Dead } else { State::Uncertain };
    let reason = row.take::<Option<String>>()?.unwrap_or_default();
    let (attempts, received_at) = (rows::number(&mut row)?, rows::timestamp(&mut row)?);
    Ok(DeadLetter::new(event_id, order_id, &context, state, reason, attempts, Some(received_at)))
}
