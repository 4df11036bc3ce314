//! Payments and the outbox in one SQLite file: what is decided and what is announced commit together.

use std::path::Path;
use std::time::Duration;

use payment_api::Money;
use payment_api::http::{EventState, Outcome, Payment};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, SqlSafeStr};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;
use uuid::Uuid;

/// How long a statement waits for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the store did not do what it was asked for; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no file.
    #[error("PAYMENT_DATABASE_URL must name a file, such as sqlite://var/payment.db")]
    Url,
    /// The directory of the file can't be made.
    #[error("can't make the directory of the database: check PAYMENT_DATABASE_URL and its permissions")]
    Directory(#[source] std::io::Error),
    /// The schema can't be brought up to date.
    #[error("can't migrate the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database can't be read or written.
    #[error("the database can't be used")]
    Database(#[from] sqlx::Error),
}

/// A decided payment and its event, not yet committed.
pub struct Settlement {
    /// The payment; its `event` is pending.
    pub payment: Payment,
    /// Its amount, parsed.
    pub amount: Money,
    /// The key of the request.
    pub idempotency_key: String,
    /// What the request asked for, to tell a repetition from another request with the same key.
    pub fingerprint: String,
    /// The event.
    pub event: OutboxEvent,
}

/// A payment that was settled before, with what it was asked for.
pub struct Known {
    /// The payment.
    pub payment: Payment,
    /// See [`Settlement::fingerprint`].
    pub fingerprint: String,
}

/// An event on its way to the broker.
#[derive(Clone, Debug)]
pub struct OutboxEvent {
    /// Also the AMQP message id.
    pub id: Uuid,
    /// The order that it is about.
    pub order_id: Uuid,
    /// Its routing key.
    pub routing_key: String,
    /// Its body.
    pub payload: Vec<u8>,
    /// The context of the decision.
    pub trace_context: TraceContext,
}

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// One connection: SQLite has one writer at a time, and a queue for it is better than a busy lock.
    writer: SqlitePool,
    reader: SqlitePool,
}

impl Store {
    /// Where the file of `url` is. sqlx by itself takes any other scheme for the name of a file.
    ///
    /// # Errors
    /// When `url` names no file.
    pub fn check(url: &str) -> Result<SqliteConnectOptions, StoreError> {
        let is_file =
            url.strip_prefix("sqlite://").is_some_and(|path| !path.is_empty() && !path.starts_with(':'));
        url.parse().ok().filter(|_| is_file).ok_or(StoreError::Url)
    }

    /// Opens the file, makes it if there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// When that is not possible; the service must not start then.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = Self::check(url)?;
        if let Some(directory) = options.get_filename().parent().filter(|path| *path != Path::new("")) {
            std::fs::create_dir_all(directory).map_err(StoreError::Directory)?;
        }
        let options = options
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // NORMAL may forget the last commits at a power loss, and those have been answered.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        migrations().run(&writer).await?;
        // A file has one service, and this is it: who held a lease is dead.
        sqlx::query("UPDATE outbox SET leased_until = 0 WHERE published_at IS NULL").execute(&writer).await?;
        let reader =
            SqlitePoolOptions::new().max_connections(2).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, reader })
    }

    /// Commits a settlement, payment and event in one transaction, unless its key is known already.
    ///
    /// # Errors
    /// When the commit did not happen.
    pub async fn settle(&self, settlement: &Settlement) -> Result<Option<Known>, StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let known = sqlx::query(FIND_BY_KEY)
            .bind(&settlement.idempotency_key)
            .fetch_optional(&mut *transaction)
            .await?
            .map(|row| known(&row))
            .transpose()?;
        if known.is_some() {
            return Ok(known);
        }
        let Settlement { payment, amount, event, .. } = settlement;
        sqlx::query(
            "INSERT INTO payments (order_id, idempotency_key, fingerprint, outcome, reason, amount_minor, \
             currency, trace_id, settled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(payment.order_id.to_string())
        .bind(&settlement.idempotency_key)
        .bind(&settlement.fingerprint)
        .bind(payment.outcome.as_str())
        .bind(&payment.reason)
        .bind(amount.minor())
        .bind(amount.currency().code())
        .bind(&payment.trace_id)
        .bind(milliseconds(payment.settled_at))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO outbox (event_id, order_id, routing_key, payload, trace_context, created_at) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(event.id.to_string())
        .bind(payment.order_id.to_string())
        .bind(&event.routing_key)
        .bind(&event.payload)
        .bind(serde_json::to_string(&event.trace_context).map_err(decode)?)
        .bind(milliseconds(payment.settled_at))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(None)
    }

    /// The payment that was settled under this key.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn find_by_key(&self, idempotency_key: &str) -> Result<Option<Known>, StoreError> {
        let row = sqlx::query(FIND_BY_KEY).bind(idempotency_key).fetch_optional(&self.reader).await?;
        Ok(row.map(|row| known(&row)).transpose()?)
    }

    /// The payment of an order.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn find(&self, order_id: Uuid) -> Result<Option<Payment>, StoreError> {
        let row = sqlx::query(FIND).bind(order_id.to_string()).fetch_optional(&self.reader).await?;
        Ok(row.map(|row| payment(&row)).transpose()?)
    }

    /// Takes the oldest pending events, and keeps others from taking them for the time of `lease`.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<OutboxEvent>, StoreError> {
        let now = milliseconds(OffsetDateTime::now_utc());
        let mut rows = sqlx::query(
            "UPDATE outbox SET leased_until = ?, attempts = attempts + 1 WHERE event_id IN \
             (SELECT event_id FROM outbox WHERE published_at IS NULL AND leased_until <= ? \
              ORDER BY created_at LIMIT ?) \
             RETURNING event_id, order_id, routing_key, payload, trace_context, created_at",
        )
        .bind(now.saturating_add(i64::try_from(lease.as_millis()).unwrap_or(i64::MAX)))
        .bind(now)
        .bind(limit)
        .fetch_all(&self.writer)
        .await?;
        // RETURNING promises no order.
        rows.sort_by_key(|row| row.get::<i64, _>("created_at"));
        Ok(rows.iter().map(outbox_event).collect::<Result<_, _>>()?)
    }

    /// The broker has confirmed these events.
    ///
    /// # Errors
    /// When the database can't be written; the events will be published again, with the same ids.
    pub async fn mark_published(&self, events: &[Uuid]) -> Result<(), StoreError> {
        self.for_each("UPDATE outbox SET published_at = ?2 WHERE event_id = ?1", events).await
    }

    /// These events were not published: they may be claimed again at once.
    ///
    /// # Errors
    /// When the database can't be written; their lease runs out by itself.
    pub async fn release(&self, events: &[Uuid]) -> Result<(), StoreError> {
        self.for_each("UPDATE outbox SET leased_until = 0 WHERE event_id = ?1", events).await
    }

    /// Events that the broker has not confirmed.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn pending(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM outbox WHERE published_at IS NULL");
        Ok(row.fetch_one(&self.reader).await?.try_get(0)?)
    }

    async fn for_each(&self, statement: &'static str, events: &[Uuid]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        let now = milliseconds(OffsetDateTime::now_utc());
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for event in events {
            sqlx::query(statement).bind(event.to_string()).bind(now).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}

const FIND_BY_KEY: &str = "SELECT p.*, o.published_at FROM payments p JOIN outbox o USING (order_id) \
                           WHERE p.idempotency_key = ?";
const FIND: &str =
    "SELECT p.*, o.published_at FROM payments p JOIN outbox o USING (order_id) WHERE p.order_id = ?";

fn migrations() -> Migrator {
    let first = Migration::new(
        1,
        "payments and outbox".into(),
        MigrationType::Simple,
        include_str!("../migrations/0001_payments_and_outbox.sql").into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![first])
}

fn known(row: &SqliteRow) -> Result<Known, sqlx::Error> {
    Ok(Known { payment: payment(row)?, fingerprint: row.try_get("fingerprint")? })
}

fn payment(row: &SqliteRow) -> Result<Payment, sqlx::Error> {
    let currency = row.try_get::<&str, _>("currency")?.parse().map_err(decode)?;
    let amount = Money::from_minor(row.try_get("amount_minor")?, currency).map_err(decode)?;
    let outcome = match row.try_get("outcome")? {
        "succeeded" => Outcome::Succeeded,
        _ => Outcome::Declined,
    };
    let published: Option<i64> = row.try_get("published_at")?;
    let settled_at = i128::from(row.try_get::<i64, _>("settled_at")?) * 1_000_000;
    Ok(Payment {
        order_id: row.try_get::<&str, _>("order_id")?.parse().map_err(decode)?,
        outcome,
        reason: row.try_get("reason")?,
        amount: amount.to_string(),
        currency,
        settled_at: OffsetDateTime::from_unix_timestamp_nanos(settled_at).map_err(decode)?,
        trace_id: row.try_get("trace_id")?,
        event: if published.is_some() { EventState::Published } else { EventState::Pending },
    })
}

fn outbox_event(row: &SqliteRow) -> Result<OutboxEvent, sqlx::Error> {
    Ok(OutboxEvent {
        id: row.try_get::<&str, _>("event_id")?.parse().map_err(decode)?,
        order_id: row.try_get::<&str, _>("order_id")?.parse().map_err(decode)?,
        routing_key: row.try_get("routing_key")?,
        payload: row.try_get("payload")?,
        trace_context: serde_json::from_str(row.try_get("trace_context")?).map_err(decode)?,
    })
}

/// Only a file that something else has written to can have such a row.
fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
