//! The inbox in a SQLite file: every event once, and how far its e-mail has come.

use std::path::Path;
use std::time::Duration;

use payment_api::event::PaymentEvent;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, SqlSafeStr};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;
use uuid::Uuid;

mod dead_letters;

/// How long a statement waits for another process to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the store did not do what it was asked for; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no file.
    #[error("MAILER_DATABASE_URL must name a file, such as sqlite://var/mailer.db")]
    Url,
    /// The directory of the file can't be made.
    #[error("can't make the directory of the database: check MAILER_DATABASE_URL and its permissions")]
    Directory(#[source] std::io::Error),
    /// The schema can't be brought up to date.
    #[error("can't migrate the database")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database can't be read or written.
    #[error("the database can't be used")]
    Database(#[from] sqlx::Error),
    /// An event or a trace context has no JSON.
    #[error("a row can't be encoded")]
    Encode(#[from] serde_json::Error),
}

/// An event whose e-mail is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// The event.
    pub event: PaymentEvent,
    /// The context of its delivery.
    pub trace_context: TraceContext,
    /// The context of the request that put it back, if it was a dead letter.
    pub replay_context: Option<TraceContext>,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// When its time began: when it was received, or put back.
    pub queued_at: OffsetDateTime,
    /// An attempt before this one was never heard of again after the mail server may have had the e-mail.
    pub handed_over: bool,
}

/// The database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    /// One connection: SQLite has one writer at a time, and a queue for it is better than a busy lock.
    pool: SqlitePool,
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
            // NORMAL may forget the last commits at a power loss, and those have been acknowledged.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        migrations().run(&pool).await?;
        // A file has one service, and this is it: who held a lease is dead. What it had handed over stays marked.
        sqlx::query("UPDATE inbox SET leased_until = 0 WHERE state = 'queued'").execute(&pool).await?;
        Ok(Self { pool })
    }

    /// Puts an event into the inbox; `false` when it was there already.
    ///
    /// # Errors
    /// When the row is not committed.
    pub async fn receive(&self, event: &PaymentEvent, context: &TraceContext) -> Result<bool, StoreError> {
        let inserted = sqlx::query(
            "INSERT INTO inbox (event_id, order_id, payload, trace_context, received_at, queued_at, due_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?5) ON CONFLICT (event_id) DO NOTHING",
        )
        .bind(event.id.to_string())
        .bind(event.data.order_id.to_string())
        .bind(serde_json::to_vec(event)?)
        .bind(serde_json::to_string(context)?)
        .bind(now())
        .execute(&self.pool)
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Takes the events that are due, and counts an attempt for each. They can be taken again after `lease`,
    /// should nothing be heard of them.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Due>, StoreError> {
        let rows = sqlx::query(
            "UPDATE inbox SET leased_until = ?1, attempts = attempts + 1 WHERE event_id IN \
             (SELECT event_id FROM inbox WHERE state = 'queued' AND due_at <= ?2 AND leased_until <= ?2 \
              ORDER BY due_at LIMIT ?3) \
             RETURNING payload, trace_context, replay_context, attempts, queued_at, handed_over",
        )
        .bind(after(lease))
        .bind(now())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(due).collect()
    }

    /// The content of this e-mail is about to go to the mail server.
    ///
    /// # Errors
    /// When that is not written down; the content must not go then.
    pub async fn hand_over(&self, event: Uuid) -> Result<(), StoreError> {
        let statement = "UPDATE inbox SET handed_over = 1 WHERE event_id = ?1";
        sqlx::query(statement).bind(event.to_string()).execute(&self.pool).await?;
        Ok(())
    }

    /// The e-mail of this event was taken by the transport.
    ///
    /// # Errors
    /// When the database can't be written; the e-mail is uncertain then.
    pub async fn sent(&self, event: Uuid) -> Result<(), StoreError> {
        let statement = "UPDATE inbox SET state = 'sent', sent_at = ?2, error = NULL WHERE event_id = ?1";
        sqlx::query(statement).bind(event.to_string()).bind(now()).execute(&self.pool).await?;
        Ok(())
    }

    /// The e-mail of this event is to be tried again after `delay`.
    ///
    /// # Errors
    /// When the database can't be written; the lease decides then.
    pub async fn retry(&self, event: Uuid, delay: Duration, error: &str) -> Result<(), StoreError> {
        let statement = "UPDATE inbox SET due_at = ?2, leased_until = 0, handed_over = 0, error = ?3 \
                         WHERE event_id = ?1";
        let query = sqlx::query(statement).bind(event.to_string()).bind(after(delay)).bind(error);
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// The e-mail of this event is given up: a dead letter.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn give_up(&self, event: Uuid, error: &str) -> Result<(), StoreError> {
        let statement = "UPDATE inbox SET state = 'dead', error = ?2 WHERE event_id = ?1";
        sqlx::query(statement).bind(event.to_string()).bind(error).execute(&self.pool).await?;
        Ok(())
    }

    /// Nobody knows whether the e-mail of this event was taken, and `attempts` were made: it is left to an operator.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn hold(&self, event: Uuid, attempts: u32, error: &str) -> Result<(), StoreError> {
        let statement = "UPDATE inbox SET state = 'uncertain', attempts = ?2, error = ?3 WHERE event_id = ?1";
        let query = sqlx::query(statement).bind(event.to_string()).bind(attempts).bind(error);
        query.execute(&self.pool).await?;
        Ok(())
    }

    /// Events whose e-mail is not sent yet.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn queued(&self) -> Result<i64, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM inbox WHERE state = 'queued'");
        Ok(row.fetch_one(&self.pool).await?.try_get(0)?)
    }
}

fn migrations() -> Migrator {
    let sql = include_str!("../migrations/0001_inbox.sql").into_sql_str();
    Migrator::with_migrations(vec![Migration::new(1, "inbox".into(), MigrationType::Simple, sql, false)])
}

fn due(row: &SqliteRow) -> Result<Due, StoreError> {
    Ok(Due {
        event: serde_json::from_slice(row.try_get("payload")?)?,
        trace_context: serde_json::from_str(row.try_get("trace_context")?)?,
        replay_context: row
            .try_get::<Option<&str>, _>("replay_context")?
            .map(serde_json::from_str)
            .transpose()?,
        attempt: row.try_get("attempts")?,
        queued_at: moment(row.try_get("queued_at")?),
        handed_over: row.try_get("handed_over")?,
    })
}

fn moment(milliseconds: i64) -> OffsetDateTime {
    // Only what this file has written can be read here, and that is a time.
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn after(delay: Duration) -> i64 {
    now().saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
