//! E-mails that were sent long ago, with their customers' addresses.

use std::time::Duration;

use store::sqlx::{self, query};
use store::{Session, StoreError, Write};

use super::Store;

/// How long an event is known after its e-mail was sent. A delivery that repeats it later is taken for a new one, and
/// no broker keeps a message for that long.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Rows that are forgotten in one step: who receives events meanwhile waits for it.
const MOST: u32 = 500;

struct Forget;

impl Write for Forget {
    /// Whether there may be more.
    type Output = bool;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<bool> {
        let oldest = session.now.saturating_sub(i64::try_from(RETENTION.as_millis()).unwrap_or(i64::MAX));
        let forgotten = query(
            "DELETE FROM inbox WHERE event_id IN \
             (SELECT event_id FROM inbox WHERE state = 'sent' AND sent_at <= $1 ORDER BY sent_at LIMIT $2)",
        )
        .bind(oldest)
        .bind(i64::from(MOST))
        .execute(&mut *session.connection)
        .await?;
        Ok(forgotten.rows_affected() == u64::from(MOST))
    }
}

impl Store {
    /// Forgets events whose e-mail was sent more than 30 days ago.
    ///
    /// # Errors
    /// When the database can't be written; what is left is forgotten the next time.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        while self.database.write(Forget).await? {}
        Ok(())
    }
}
