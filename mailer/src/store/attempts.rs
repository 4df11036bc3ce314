//! Attempts to send: an event that is due is claimed, handed over, and gets an outcome. Each step after the claim shows
//! its token.

use std::sync::Arc;
use std::time::Duration;

use payment_api::event::PaymentEvent;
use store::sqlx::{self, query};
use store::{Lease, Queue, Session, StoreError, Table, Write};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Store, rows};

/// A claimed event whose e-mail is due.
#[derive(Clone, Debug)]
pub struct Due {
    /// The event.
    pub event: PaymentEvent,
    /// The trace context of its delivery.
    pub trace_context: TraceContext,
    /// The trace context of the request that put it back, if it was a dead letter.
    pub replay_context: Option<TraceContext>,
    /// The number of this attempt, from 1.
    pub attempt: u32,
    /// The time at which it was received or put back; `MAIL_DEADLINE` counts from it.
    pub queued_at: OffsetDateTime,
    /// The previous attempt ended without a known result after the content may have been delivered.
    pub handed_over: bool,
    /// A previous attempt may have left a copy with a mail server.
    pub uncertain: bool,
    pub(super) lease: Lease,
}

/// The outcome of an attempt.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The transport has taken the e-mail.
    Sent,
    /// It failed, and the next attempt is due after a delay.
    Retry {
        /// The delay.
        delay: Duration,
        /// The reason.
        error: String,
        /// True if this attempt may have left a copy.
        uncertain: bool,
    },
    /// It failed for good: a dead letter. No mail server has it.
    Dead {
        /// The reason.
        error: String,
    },
    /// A mail server may have it or not; an operator decides.
    Held {
        /// The number of attempts that were made.
        attempts: u32,
        /// The reason.
        error: String,
    },
}

pub(super) const TABLE: Table = Table {
    name: "inbox",
    key: "event_id",
    is_open: "state = 'queued'",
    is_due: "due_at <= $3",
    order_by: "due_at",
    // A row that is due and still handed over: its last attempt ended without a known result.
    on_claim: ", uncertain = CASE WHEN handed_over = 1 THEN 1 ELSE uncertain END",
    columns: "payload, trace_context, replay_context, attempts, queued_at, handed_over, uncertain",
    finished_at: "sent_at",
    is_finished: "state = 'sent'",
};

struct Claim {
    queue: Arc<Queue>,
    limit: u32,
    lease: Duration,
}

impl Write for Claim {
    type Output = Vec<Due>;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<Vec<Due>> {
        let (lease, due) = self.queue.claim(session, self.limit, self.lease).await?;
        due.iter().map(|row| rows::due(row, &lease)).collect()
    }
}

struct HandOver {
    event: Uuid,
    lease: Lease,
}

impl Write for HandOver {
    /// True if the claim still holds.
    type Output = bool;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<bool> {
        let marked =
            query("UPDATE inbox SET handed_over = 1 WHERE event_id = $1 AND lease = $2 AND state = 'queued'")
                .bind(self.event.to_string())
                .bind(self.lease.as_str())
                .execute(&mut *session.connection)
                .await?;
        Ok(marked.rows_affected() == 1)
    }
}

struct RecordOutcome {
    event: Uuid,
    lease: Lease,
    outcome: Outcome,
}

impl Write for RecordOutcome {
    type Output = ();

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<()> {
        let record = match &self.outcome {
            // Also when the claim was lost: the e-mail was sent, and the claim that holds it by now must not send it.
            Outcome::Sent => query(
                "UPDATE inbox SET state = 'sent', sent_at = $3, error = NULL, handed_over = 0, lease = NULL \
                 WHERE event_id = $1 AND (lease = $2 OR state = 'queued')",
            )
            .bind(self.event.to_string())
            .bind(self.lease.as_str())
            .bind(session.now),
            Outcome::Retry { delay, error, uncertain } => query(
                "UPDATE inbox SET due_at = $3, error = $4, uncertain = CASE WHEN $5 = 1 THEN 1 ELSE uncertain END, \
                 handed_over = 0, lease = NULL, leased_until = 0 WHERE event_id = $1 AND lease = $2",
            )
            .bind(self.event.to_string())
            .bind(self.lease.as_str())
            .bind(session.after(*delay))
            .bind(error)
            .bind(i64::from(*uncertain)),
            Outcome::Dead { error } => query(
                "UPDATE inbox SET state = 'dead', error = $3, handed_over = 0, lease = NULL \
                 WHERE event_id = $1 AND lease = $2",
            )
            .bind(self.event.to_string())
            .bind(self.lease.as_str())
            .bind(error),
            Outcome::Held { attempts, error } => query(
                "UPDATE inbox SET state = 'uncertain', attempts = $3, error = $4, uncertain = 1, lease = NULL \
                 WHERE event_id = $1 AND lease = $2",
            )
            .bind(self.event.to_string())
            .bind(self.lease.as_str())
            .bind(i64::from(*attempts))
            .bind(error),
        };
        record.execute(&mut *session.connection).await?;
        Ok(())
    }
}

struct EndLeases(Arc<Queue>);

impl Write for EndLeases {
    type Output = ();

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<()> {
        self.0.end_leases(session).await
    }
}

impl Store {
    /// Claims events whose e-mail is due, and counts an attempt for each. Events without a recorded outcome are due
    /// again after `lease`.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim(&self, limit: u32, lease: Duration) -> Result<Vec<Due>, StoreError> {
        self.database.write(Claim { queue: self.queue.clone(), limit, lease }).await
    }

    /// Records that the content of this e-mail is about to go to the mail server. `false` when the claim was lost:
    /// the content must not go then.
    ///
    /// # Errors
    /// When the record is not committed; the content must not go then.
    pub async fn hand_over(&self, due: &Due) -> Result<bool, StoreError> {
        self.database.write(HandOver { event: due.event.id, lease: due.lease.clone() }).await
    }

    /// Records the outcome of an attempt; nothing if the claim was lost, except that an e-mail was sent.
    ///
    /// # Errors
    /// When the database can't be written; recording it again is harmless.
    pub async fn record_outcome(&self, due: &Due, outcome: Outcome) -> Result<(), StoreError> {
        self.database.write(RecordOutcome { event: due.event.id, lease: due.lease.clone(), outcome }).await
    }

    /// Ends the leases of the process that had the file before; see [`Queue::end_leases`]. Rows that it had handed
    /// over stay marked.
    pub(super) async fn end_leases(&self) -> Result<(), StoreError> {
        self.database.write(EndLeases(self.queue.clone())).await
    }
}
