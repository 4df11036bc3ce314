//! Forgetting of sent e-mails: their rows hold the customers' addresses.

use std::sync::Arc;
use std::time::Duration;

use store::sqlx;
use store::{Queue, Session, StoreError, Write};

use super::Store;

/// The time for which an event is known after its e-mail was sent. A delivery that repeats it later counts as new; no
/// broker keeps a message for that long.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
struct Forget(Arc<Queue>);

impl Write for Forget {
    /// True if there may be more.
    type Output = bool;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<bool> {
        self.0.forget(session, RETENTION).await
    }
}

impl Store {
    /// Forgets events whose e-mail was sent more than 30 days ago.
    ///
    /// # Errors
    /// When the database can't be written; what is left is forgotten the next time.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        while self.database.write(Forget(self.queue.clone())).await? {}
        Ok(())
    }
}
