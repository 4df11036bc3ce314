//! Attempts: an event that is due is claimed, handed over, and settled. Each step after the claim shows its token.

use std::time::Duration;

use payment_api::event::PaymentEvent;
use store::sqlx::{self, query};
use store::{Dialect, Session, StoreError, Write};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, rows};

/// An event whose e-mail is due, claimed by whoever has this.
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
    /// The attempt before this one was never heard of again after the mail server may have had the e-mail.
    pub handed_over: bool,
    /// Some attempt before this one may have left a copy with a mail server.
    pub uncertain: bool,
    pub(super) lease: String,
}

/// What has become of an attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The transport has taken the e-mail.
    Sent,
    /// It is to be tried again.
    Retry {
        /// When.
        delay: Duration,
        /// Why.
        error: String,
        /// Whether this attempt may have left a copy.
        uncertain: bool,
    },
    /// It is given up: a dead letter, and nobody has it.
    Dead {
        /// Why.
        error: String,
    },
    /// Nobody knows whether it was taken: it is left to an operator.
    Held {
        /// Attempts that were really made.
        attempts: u32,
        /// Why.
        error: String,
    },
}

struct Claim {
    limit: u32,
    lease: Duration,
}

/// Materialized: PostgreSQL may run a plain subquery more than once, and claim more than was asked for.
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT event_id FROM inbox \
              WHERE state = 'queued' AND due_at <= $3 AND leased_until <= $3 ORDER BY due_at LIMIT $4",
            $lock,
            ") UPDATE inbox SET lease = $1, leased_until = $2, attempts = attempts + 1, \
              uncertain = CASE WHEN handed_over = 1 THEN 1 ELSE uncertain END \
             WHERE event_id IN (SELECT event_id FROM due) AND state = 'queued' AND leased_until <= $3 \
             RETURNING payload, trace_context, replay_context, attempts, queued_at, handed_over, uncertain"
        )
    };
}

impl Write for Claim {
    type Output = Vec<Due>;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<Vec<Due>> {
        let claim = match session.dialect {
            Dialect::Sqlite => claim!(""),
            // Replicas step around each other's claims.
            Dialect::Postgres => claim!(" FOR UPDATE SKIP LOCKED"),
        };
        let lease = Uuid::new_v4().to_string();
        let due = query(claim)
            .bind(&lease)
            .bind(after(session.now, self.lease))
            .bind(session.now)
            .bind(i64::from(self.limit))
            .fetch_all(&mut *session.connection)
            .await?;
        due.iter().map(|row| rows::due(row, &lease)).collect()
    }
}

struct HandOver {
    event: Uuid,
    lease: String,
}

impl Write for HandOver {
    /// Whether the claim still counts.
    type Output = bool;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<bool> {
        let marked =
            query("UPDATE inbox SET handed_over = 1 WHERE event_id = $1 AND lease = $2 AND state = 'queued'")
                .bind(self.event.to_string())
                .bind(&self.lease)
                .execute(&mut *session.connection)
                .await?;
        Ok(marked.rows_affected() == 1)
    }
}

struct Settle {
    event: Uuid,
    lease: String,
    outcome: Outcome,
}

impl Write for Settle {
    type Output = ();

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<()> {
        let settle = match &self.outcome {
            // Whoever has the claim by now: it is true, and he must not send it again.
            Outcome::Sent => query(
                "UPDATE inbox SET state = 'sent', sent_at = $3, error = NULL, handed_over = 0, lease = NULL \
                 WHERE event_id = $1 AND (lease = $2 OR state = 'queued')",
            )
            .bind(self.event.to_string())
            .bind(&self.lease)
            .bind(session.now),
            Outcome::Retry { delay, error, uncertain } => query(
                "UPDATE inbox SET due_at = $3, error = $4, uncertain = CASE WHEN $5 = 1 THEN 1 ELSE uncertain END, \
                 handed_over = 0, lease = NULL, leased_until = 0 WHERE event_id = $1 AND lease = $2",
            )
            .bind(self.event.to_string())
            .bind(&self.lease)
            .bind(after(session.now, *delay))
            .bind(error)
            .bind(i64::from(*uncertain)),
            Outcome::Dead { error } => query(
                "UPDATE inbox SET state = 'dead', error = $3, handed_over = 0, lease = NULL \
                 WHERE event_id = $1 AND lease = $2",
            )
            .bind(self.event.to_string())
            .bind(&self.lease)
            .bind(error),
            Outcome::Held { attempts, error } => query(
                "UPDATE inbox SET state = 'uncertain', attempts = $3, error = $4, uncertain = 1, lease = NULL \
                 WHERE event_id = $1 AND lease = $2",
            )
            .bind(self.event.to_string())
            .bind(&self.lease)
            .bind(i64::from(*attempts))
            .bind(error),
        };
        settle.execute(&mut *session.connection).await?;
        Ok(())
    }
}

struct EndLeases;

impl Write for EndLeases {
    type Output = ();

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<()> {
        // On a server the others live on, and a lease ends by itself.
        if session.dialect == Dialect::Sqlite {
            query(
                "UPDATE inbox SET lease = NULL, leased_until = 0 WHERE state = 'queued' AND leased_until > 0",
            )
            .execute(&mut *session.connection)
            .await?;
        }
        Ok(())
    }
}

impl Store {
    /// Takes the events that are due, and counts an attempt for each. They can be taken again after `lease`, should
    /// nothing be heard of them.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Due>, StoreError> {
        self.database.write(Claim { limit, lease }).await
    }

    /// The content of this e-mail is about to go to the mail server. `false` when the claim was lost: it must not go.
    ///
    /// # Errors
    /// When that is not written down; the content must not go then.
    pub async fn hand_over(&self, due: &Due) -> Result<bool, StoreError> {
        self.database.write(HandOver { event: due.event.id, lease: due.lease.clone() }).await
    }

    /// Writes down what has become of an attempt; nothing, if the claim was lost to somebody else.
    ///
    /// # Errors
    /// When the database can't be written; to try again is harmless.
    pub async fn settle(&self, due: &Due, outcome: Outcome) -> Result<(), StoreError> {
        self.database.write(Settle { event: due.event.id, lease: due.lease.clone(), outcome }).await
    }

    /// A file has one service, and this is it: who held a lease is dead. What it had handed over stays marked.
    pub(super) async fn end_leases_of_the_dead(&self) -> Result<(), StoreError> {
        self.database.write(EndLeases).await
    }
}

fn after(now: i64, delay: Duration) -> i64 {
    now.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX))
}
