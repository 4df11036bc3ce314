//! The durable state of payment: payments, idempotency keys and the outbox. A payment, its key and its event are
//! committed in one transaction.

mod outbox;
mod rows;
mod settle;

use std::sync::Arc;

use payment_api::http::Payment;
use prometheus::Registry;
use secrecy::SecretString;
pub use store::Backlog;
use store::{Database, Expiring, Migrations, Queue, Session, StoreError};
use uuid::Uuid;

pub use self::outbox::Window;
use self::rows::RETENTION;
pub use self::rows::{Known, OutboxEvent};
pub use self::settle::Settlement;

const MIGRATIONS: Migrations = Migrations {
    owner: "payment",
    sqlite: &[
        ("payments_and_outbox", include_str!("../migrations/sqlite/0001_payments_and_outbox.sql")),
        ("idempotency_and_fencing", include_str!("../migrations/sqlite/0002_idempotency_and_fencing.sql")),
        ("set_aside", include_str!("../migrations/sqlite/0003_set_aside.sql")),
    ],
    postgres: &[
        (
            "payments_idempotency_outbox",
            include_str!("../migrations/postgres/0001_payments_idempotency_outbox.sql"),
        ),
        ("set_aside", include_str!("../migrations/postgres/0002_set_aside.sql")),
    ],
};

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    outbox: Queue,
    keys: Arc<Expiring>,
}

impl Store {
    /// Opens the database, and brings its schema up to date.
    ///
    /// # Errors
    /// When the database can't be opened or its schema can't be brought up to date; the service must not start then.
    pub async fn open(url: &SecretString) -> Result<Self, StoreError> {
        let database = Database::open(url, MIGRATIONS).await?;
        let outbox = Queue::open(database.clone(), &rows::OUTBOX).await?;
        let keys = Arc::new(Expiring::new("idempotency", "key", "TRUE", "created_at"));
        Ok(Self { database, outbox, keys })
    }

    /// Commits the payment, the key and the event of a settlement in one transaction. Returns the payment that was
    /// settled under the same key before, if there is one; nothing is written then.
    ///
    /// # Errors
    /// When the commit failed, or its outcome is unknown.
    pub async fn settle(&self, settlement: Settlement) -> Result<Option<Known>, StoreError> {
        let settle = async move |session: &Session<'_>| settlement.write(session).await;
        let known = self.database.write(settle).await.inspect_err(|error| self.outbox.failed(error))?;
        if known.is_none() {
            self.outbox.added(1);
        }
        Ok(known)
    }

    /// The payment that was settled under this key, as long as the key is kept.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn find_by_key(&self, key: &str) -> Result<Option<Known>, StoreError> {
        let key = key.to_owned();
        self.database.read(async move |session: &Session<'_>| settle::find_by_key(session, &key).await).await
    }

    /// The payment of an order.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn find(&self, order_id: Uuid) -> Result<Option<Payment>, StoreError> {
        let find = async move |session: &Session<'_>| {
            let mut rows = session.query(rows::FIND, &[order_id.to_string().into()]).await?;
            rows.pop().map(|mut row| rows::payment(&mut row)).transpose()
        };
        self.database.read(find).await
    }

    /// The number of events that the broker has not confirmed, without a query.
    pub fn pending(&self) -> i64 {
        self.outbox.pending()
    }

    /// The events that the broker has not confirmed.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.outbox.backlog().await
    }

    /// Forgets keys, and events that were published, after 24 hours. The payments stay.
    ///
    /// # Errors
    /// When the database can't be written; what is left is forgotten the next time.
    pub async fn forget_old(&self) -> Result<(), StoreError> {
        self.keys.forget(&self.database, RETENTION).await?;
        // An event holds the customer's address.
        self.outbox.forget(RETENTION).await
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
