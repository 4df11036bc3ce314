//! The rows that nobody works on any more, and the way back for them.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use telemetry::propagation::TraceContext;
use uuid::Uuid;

use super::{Store, StoreError, moment, now};
use crate::dead_letters::{DeadLetter, State};

impl Store {
    /// The dead letters and what is held, the oldest first.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn dead_letters(&self, limit: u32) -> Result<Vec<DeadLetter>, StoreError> {
        let rows = sqlx::query(
            "SELECT event_id, order_id, trace_context, state, error, attempts, received_at FROM inbox \
             WHERE state IN ('dead', 'uncertain') ORDER BY received_at LIMIT ?1",
        );
        rows.bind(limit).fetch_all(&self.pool).await?.iter().map(dead_letter).collect()
    }

    /// Puts one dead letter back, or all of them, as if it had just been received; says how many. `context` is that
    /// of the request for it.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn replay(&self, event: Option<Uuid>, context: &TraceContext) -> Result<u64, StoreError> {
        let updated = sqlx::query(
            "UPDATE inbox SET state = 'queued', attempts = 0, due_at = ?1, queued_at = ?1, leased_until = 0, \
             handed_over = 0, replay_context = ?2 \
             WHERE state IN ('dead', 'uncertain') AND (?3 IS NULL OR event_id = ?3)",
        )
        .bind(now())
        .bind(serde_json::to_string(context)?)
        .bind(event.map(|event| event.to_string()))
        .execute(&self.pool)
        .await?;
        Ok(updated.rows_affected())
    }
}

fn dead_letter(row: &SqliteRow) -> Result<DeadLetter, StoreError> {
    let context: TraceContext = serde_json::from_str(row.try_get("trace_context")?)?;
    let state = if row.try_get::<&str, _>("state")? == "dead" { State::Dead } else { State::Uncertain };
    Ok(DeadLetter::new(
        Some(row.try_get("event_id")?),
        Some(row.try_get("order_id")?),
        &context,
        state,
        row.try_get::<Option<String>, _>("error")?.unwrap_or_default(),
        row.try_get("attempts")?,
        Some(moment(row.try_get("received_at")?)),
    ))
}
