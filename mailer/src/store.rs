//! The inbox: each event once, with the state of its e-mail.

mod attempts;
mod dead_letters;
mod forget;
mod receive;
mod rows;

use std::sync::Arc;

use secrecy::SecretString;
use store::sqlx::{self, Row};
use store::{Database, Migrations, Queue, StoreError};

pub use self::attempts::{Due, Outcome};
pub use self::receive::Arrival;

const MIGRATIONS: Migrations = Migrations {
    owner: "mailer",
    sqlite: &[
        ("inbox", include_str!("../migrations/sqlite/0001_inbox.sql")),
        ("fencing", include_str!("../migrations/sqlite/0002_fencing.sql")),
    ],
    postgres: &[("inbox", include_str!("../migrations/postgres/0001_inbox.sql"))],
};

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    queue: Arc<Queue>,
}

impl Store {
    /// Opens the database, and brings its schema up to date.
    ///
    /// # Errors
    /// When the database can't be opened or its schema can't be brought up to date; the service must not start then.
    pub async fn open(url: &SecretString) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue::new(&attempts::TABLE));
        let store = Self { database: Database::open(url, MIGRATIONS).await?, queue };
        store.end_leases().await?;
        Ok(store)
    }

    /// The number of events whose e-mail is not sent yet.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn queued(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM inbox WHERE state = 'queued'");
        Ok(row.fetch_one(self.database.reader()).await?.try_get(0)?)
    }
}

#[cfg(test)]
mod tests;
