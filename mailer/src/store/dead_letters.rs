//! The rows that were given up or held, and their replay.

use store::sqlx::{self, query};
use store::{Session, StoreError, Write};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

use super::{Store, rows};
use crate::dead_letter::DeadLetter;

struct Replay {
    event: Option<Uuid>,
    context: TraceContext,
}

impl Write for Replay {
    type Output = u64;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<u64> {
        let updated = query(
            "UPDATE inbox SET state = 'queued', attempts = 0, due_at = $1, queued_at = $1, lease = NULL, \
             leased_until = 0, handed_over = 0, replay_context = $2 \
             WHERE state IN ('dead', 'uncertain') AND ($3 = '' OR event_id = $3)",
        )
        .bind(session.now)
        .bind(serde_json::to_string(&self.context).map_err(rows::decode)?)
        .bind(self.event.map(|event| event.to_string()).unwrap_or_default())
        .execute(&mut *session.connection)
        .await?;
        Ok(updated.rows_affected())
    }
}

impl Store {
    /// The dead letters and the held e-mails, the oldest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = query(
            "SELECT event_id, order_id, trace_context, state, error, attempts, received_at FROM inbox \
             WHERE state IN ('dead', 'uncertain') ORDER BY received_at LIMIT $1",
        );
        let rows = rows.bind(i64::from(limit)).fetch_all(self.database.reader()).await?;
        Ok(rows.iter().map(rows::dead_letter).collect::<sqlx::Result<_>>()?)
    }

    /// Queues one dead letter again, or all of them, as if it had just been received; returns their number. `context` is
    /// the trace context of the request for it.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn replay(&self, event: Option<Uuid>, context: &TraceContext) -> Result<u64, StoreError> {
        self.database.write(Replay { event, context: context.clone() }).await
    }
}
