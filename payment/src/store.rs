//! What payment remembers: payments, keys and the outbox. What is decided and what is announced commit together.

mod outbox;
mod rows;
mod settle;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use payment_api::http::Payment;
use secrecy::SecretString;
use store::sqlx::{self, Row};
use store::{Database, Migrations, StoreError};
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
    /// Events that wait for the broker, as of the last count, and those that were added since.
    pending: Arc<AtomicI64>,
}

/// What waits for the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Events that the broker has not confirmed.
    pub pending: i64,
    /// How long the oldest of them has waited; zero where there is none.
    pub oldest_age: Duration,
}

impl Store {
    /// Opens the database, and makes it what this version expects.
    ///
    /// # Errors
    /// When that is not possible; the service must not start then.
    pub async fn open(url: &SecretString) -> Result<Self, StoreError> {
        let database = Database::open(url, MIGRATIONS).await?;
        let store = Self { database, pending: Arc::default() };
        store.end_leases_of_the_dead().await?;
        store.count_pending().await?;
        Ok(store)
    }

    /// Commits a settlement, payment, key and event in one transaction, unless its key is known already.
    ///
    /// # Errors
    /// When the commit did not happen, or nobody can tell.
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
        if sabotage::bug("payment.idempotency_off") {
            return Ok(None);
        }
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

    /// Events that the broker has not confirmed, about: counted at each look of the publisher, plus what has come
    /// since.
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

    /// Looks at the events that the broker has not confirmed.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let now = rows::now();
        let query = "SELECT count(*), coalesce(min(created_at), $1) FROM outbox WHERE published_at IS NULL";
        let row = sqlx::query(query).bind(now).fetch_one(self.database.reader()).await?;
        let (pending, oldest): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        self.pending.store(pending, Ordering::Relaxed);
        // Another replica may have put it there, by a clock that is ahead.
        let oldest_age = Duration::from_millis(u64::try_from(now - oldest).unwrap_or(0));
        Ok(Backlog { pending, oldest_age })
    }
}

#[cfg(test)]
mod tests;
