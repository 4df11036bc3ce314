//! The inbox: each event once, with the state of its e-mail.

mod attempts;
mod dead_letters;
mod history;
mod receive;
mod rows;

use std::time::Duration;

use prometheus::Registry;
use secrecy::SecretString;
use service::Backoff;
use store::{Backlog, Database, Migrations, Queue, StoreError};

pub use self::attempts::{Due, Outcome};
pub use self::receive::Arrival;

const MIGRATIONS: Migrations = Migrations {
    owner: "mailer",
    sqlite: &[
        ("inbox", include_str!("../migrations/sqlite/0001_inbox.sql")),
        ("fencing", include_str!("../migrations/sqlite/0002_fencing.sql")),
        ("history", include_str!("../migrations/sqlite/0003_history.sql")),
    ],
    postgres: &[
        ("inbox", include_str!("../migrations/postgres/0001_inbox.sql")),
        ("history", include_str!("../migrations/postgres/0002_history.sql")),
    ],
};

/// The pauses between attempts to write into a store that refuses.
pub const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));

/// The time for which an event is known after its e-mail was sent. A delivery that repeats it later counts as new; no
/// broker keeps a message for that long.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    inbox: Queue,
}

impl Store {
    /// Opens the database, and brings its schema up to date.
    ///
    /// # Errors
    /// When the database can't be opened or its schema can't be brought up to date; the service must not start then.
    pub async fn open(url: &SecretString) -> Result<Self, StoreError> {
        let database = Database::open(url, MIGRATIONS).await?;
        let inbox = Queue::open(database.clone(), &rows::INBOX).await?;
        Ok(Self { database, inbox })
    }

    /// The events whose e-mail is not sent yet.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.inbox.backlog().await
    }

    /// Forgets events whose e-mail was sent more than 30 days ago: their rows hold the customers' addresses.
    ///
    /// # Errors
    /// When the database can't be written; what is left is forgotten the next time.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        self.inbox.forget(RETENTION).await
    }

    /// Registers the metrics of the database.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        self.database.register(registry)
    }

    /// The reason why the database can't be used.
    ///
    /// # Errors
    /// That reason.
    pub fn check(&self) -> Result<(), StoreError> {
        self.database.check()
    }

    /// The size of a file's write-ahead log in bytes; zero for a server.
    pub fn log_bytes(&self) -> u64 {
        self.database.log_bytes()
    }
}

#[cfg(test)]
mod tests;
