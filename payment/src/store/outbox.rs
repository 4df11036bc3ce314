//! The outbox: events on their way to the broker, claimed in windows.

use std::time::Duration;

use store::sqlx::{self, query};
use store::{Dialect, Session, StoreError, Write};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

use super::{Store, rows};

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

/// Events that were claimed together.
#[derive(Clone, Debug)]
pub struct Window {
    /// The token of the claim. After the lease somebody else may have the events, under another token.
    lease: String,
    /// The events, the oldest first.
    pub events: Vec<OutboxEvent>,
}

struct Claim {
    limit: u32,
    lease: Duration,
}

/// Materialized: PostgreSQL may run a plain subquery more than once, and claim more than was asked for.
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT event_id FROM outbox \
              WHERE published_at IS NULL AND leased_until <= $3 ORDER BY created_at LIMIT $4",
            $lock,
            ") UPDATE outbox SET lease = $1, leased_until = $2, attempts = attempts + 1 \
             WHERE event_id IN (SELECT event_id FROM due) AND published_at IS NULL AND leased_until <= $3 \
             RETURNING event_id, order_id, routing_key, payload, trace_context, created_at"
        )
    };
}

impl Write for Claim {
    type Output = Window;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<Window> {
        let claim = match session.dialect {
            Dialect::Sqlite => claim!(""),
            // Replicas step around each other's claims.
            Dialect::Postgres => claim!(" FOR UPDATE SKIP LOCKED"),
        };
        let lease = Uuid::new_v4().to_string();
        let mut rows = query(claim)
            .bind(&lease)
            .bind(session.now.saturating_add(i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX)))
            .bind(session.now)
            .bind(i64::from(self.limit))
            .fetch_all(&mut *session.connection)
            .await?;
        // RETURNING promises no order.
        rows.sort_by_key(|row| sqlx::Row::get::<i64, _>(row, "created_at"));
        Ok(Window { lease, events: rows.iter().map(rows::outbox_event).collect::<Result<_, _>>()? })
    }
}

struct Finish {
    lease: String,
    unconfirmed: Vec<Uuid>,
}

impl Write for Finish {
    /// How many events were marked: fewer than published when the lease was lost.
    type Output = u64;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<u64> {
        for event in &self.unconfirmed {
            query("UPDATE outbox SET lease = NULL, leased_until = 0 WHERE event_id = $1 AND lease = $2")
                .bind(event.to_string())
                .bind(&self.lease)
                .execute(&mut *session.connection)
                .await?;
        }
        let marked = query("UPDATE outbox SET published_at = $1, lease = NULL WHERE lease = $2")
            .bind(session.now)
            .bind(&self.lease)
            .execute(&mut *session.connection)
            .await?;
        Ok(marked.rows_affected())
    }
}

struct EndLeases;

impl Write for EndLeases {
    type Output = ();

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<()> {
        // On a server the others live on, and a lease ends by itself.
        if session.dialect == Dialect::Sqlite {
            query("UPDATE outbox SET lease = NULL, leased_until = 0 WHERE lease IS NOT NULL")
                .execute(&mut *session.connection)
                .await?;
        }
        Ok(())
    }
}

impl Store {
    /// Takes the oldest pending events, and keeps others from taking them for the time of `lease`.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim(&self, limit: u32, lease: Duration) -> Result<Window, StoreError> {
        self.database.write(Claim { limit, lease }).await
    }

    /// The broker has confirmed the events of this window, but for some: those may be claimed again at once.
    ///
    /// Events that somebody else has claimed since are left to him. Says how many were marked as published.
    ///
    /// # Errors
    /// When the database can't be written; the events will be published again, with the same ids.
    pub async fn finish(&self, window: Window, unconfirmed: Vec<Uuid>) -> Result<u64, StoreError> {
        self.database.write(Finish { lease: window.lease, unconfirmed }).await
    }

    /// A file has one service, and this is it: who held a lease is dead.
    pub(super) async fn end_leases_of_the_dead(&self) -> Result<(), StoreError> {
        self.database.write(EndLeases).await
    }
}
