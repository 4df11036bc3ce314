//! The inbox: every event once, and how far its e-mail has come.

mod attempts;
mod dead_letters;
mod forget;
mod receive;
mod rows;

use secrecy::SecretString;
use store::sqlx::{self, Row};
use store::{Database, Migrations, StoreError};

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
}

impl Store {
    /// Opens the database, and makes it what this version expects.
    ///
    /// # Errors
    /// When that is not possible; the service must not start then.
    pub async fn open(url: &SecretString) -> Result<Self, StoreError> {
        let store = Self { database: Database::open(url, MIGRATIONS).await? };
        store.end_leases_of_the_dead().await?;
        Ok(store)
    }

    /// Events whose e-mail is not sent yet.
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
