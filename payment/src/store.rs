//! The durable state of payment: payments, idempotency keys and the outbox. A payment, its key and its event are
//! committed in one transaction.

mod outbox;
mod rows;
mod settle;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use payment_api::http::Payment;
use secrecy::SecretString;
use store::sqlx::{self, Row};
use store::{Database, Migrations, Queue, StoreError};
use uuid::Uuid;

pub use self::outbox::{OutboxEvent, Window};
pub use self::settle::{Known, Settlement};

const MIGRATIONS: Migrations = Migrations {
    owner: "payment",
    sqlite: &[
        ("payments and outbox", include_str!("../migrations/sqlite/0001_payments_and_outbox.sql")),
        ("idempotency and fencing", include_str!("../migrations/sqlite/0002_idempotency_and_fencing.sql")),
    ],
    postgres: &[(
        "payments, idempotency, outbox",
        include_str!("../migrations/postgres/0001_payments_idempotency_outbox.sql"),
    )],
};

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Database,
    outbox: Arc<Queue>,
    /// Events that wait for the broker: those of the last count, and those that were added since.
    pending: Arc<AtomicI64>,
}

/// The events that wait for the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Events that the broker has not confirmed.
    pub pending: i64,
    /// The age of the oldest of them; zero without one.
    pub oldest_age: Duration,
}

impl Store {
    /// Opens the database, and brings its schema up to date.
    ///
    /// # Errors
    /// When the database can't be opened or its schema can't be brought up to date; the service must not start then.
    pub async fn open(url: &SecretString) -> Result<Self, StoreError> {
        let database = Database::open(url, MIGRATIONS).await?;
        let outbox = Arc::new(Queue::new(&outbox::TABLE));
        let store = Self { database, outbox, pending: Arc::default() };
        store.end_leases().await?;
        store.count_pending().await?;
        Ok(store)
    }

    /// Commits the payment, the key and the event of a settlement in one transaction. Returns the payment that was
    /// settled under the same key before, if there is one; nothing is written then.
    ///
    /// # Errors
    /// When the commit failed, or its outcome is unknown.
    pub async fn settle(&self, settlement: Settlement) -> Result<Option<Known>, StoreError> {
        let known = self.database.write(settlement).await?;
        if known.is_none() {
            self.pending.fetch_add(1, Ordering::Relaxed);
        }
        Ok(known)
    }

    /// The payment that was settled under this key, as long as the key is kept.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn find_by_key(&self, key: &str) -> Result<Option<Known>, StoreError> {
        let row = sqlx::query(settle::FIND_BY_KEY).bind(key).bind(settle::oldest_kept(rows::now()));
        let row = row.fetch_optional(self.database.reader()).await?;
        Ok(row.map(|row| rows::known(&row)).transpose()?)
    }

    /// The payment of an order.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn find(&self, order_id: Uuid) -> Result<Option<Payment>, StoreError> {
        let row = sqlx::query(rows::FIND).bind(order_id.to_string());
        let row = row.fetch_optional(self.database.reader()).await?;
        Ok(row.map(|row| rows::payment(&row)).transpose()?)
    }

    /// The number of events that the broker has not confirmed: those of the last count, and those added since.
    pub fn pending(&self) -> i64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Counts the events that the broker has not confirmed.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn count_pending(&self) -> Result<i64, StoreError> {
        Ok(self.backlog().await?.pending)
    }

    /// Counts the events that the broker has not confirmed, and finds the age of the oldest.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let now = rows::now();
        let query = "SELECT count(*), coalesce(min(created_at), $1) FROM outbox WHERE published_at IS NULL";
        let row = sqlx::query(query).bind(now).fetch_one(self.database.reader()).await?;
        let (pending, oldest): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        self.pending.store(pending, Ordering::Relaxed);
        // The clock of the replica that wrote the row may be ahead.
        let oldest_age = Duration::from_millis(u64::try_from(now - oldest).unwrap_or(0));
        Ok(Backlog { pending, oldest_age })
    }
}

#[cfg(test)]
mod tests;
