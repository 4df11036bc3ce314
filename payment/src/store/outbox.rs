//! The outbox: events on their way to the broker, claimed in windows.

use std::sync::Arc;
use std::time::Duration;

use store::sqlx;
use store::{Lease, Queue, Session, StoreError, Table, Write};
use telemetry::propagation::TraceContext;
use uuid::Uuid;

use super::{Store, rows};

/// An event on its way to the broker.
#[derive(Clone, Debug)]
pub struct OutboxEvent {
    /// Also the AMQP message id.
    pub id: Uuid,
    /// The order of its payment.
    pub order_id: Uuid,
    /// The routing key.
    pub routing_key: String,
    /// The body.
    pub payload: Vec<u8>,
    /// The trace context of the decision.
    pub trace_context: TraceContext,
}

/// Events that were claimed together.
#[derive(Clone, Debug)]
pub struct Window {
    /// The token of the claim.
    lease: Lease,
    /// The events, the oldest first.
    pub events: Vec<OutboxEvent>,
}

pub(super) const TABLE: Table = Table {
    name: "outbox",
    key: "event_id",
    is_open: "published_at IS NULL",
    // The clock of the replica that wrote the row may be ahead: it says nothing but the order.
    is_due: "TRUE",
    order_by: "created_at",
    on_claim: "",
    columns: "event_id, order_id, routing_key, payload, trace_context, created_at",
    finished_at: "published_at",
    is_finished: "published_at IS NOT NULL",
};

struct Claim {
    queue: Arc<Queue>,
    limit: u32,
    lease: Duration,
}

impl Write for Claim {
    type Output = Window;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<Window> {
        let (lease, mut rows) = self.queue.claim(session, self.limit, self.lease).await?;
        // RETURNING promises no order.
        rows.sort_by_key(|row| sqlx::Row::get::<i64, _>(row, "created_at"));
        Ok(Window { lease, events: rows.iter().map(rows::outbox_event).collect::<Result<_, _>>()? })
    }
}

struct Finish {
    queue: Arc<Queue>,
    lease: Lease,
    unconfirmed: Vec<Uuid>,
}

impl Write for Finish {
    /// The number of events that were marked: fewer than published when the lease was lost.
    type Output = u64;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<u64> {
        for event in &self.unconfirmed {
            self.queue.release(session, &self.lease, &event.to_string()).await?;
        }
        self.queue.finish(session, &self.lease).await
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
    /// Claims the oldest pending events: no other claim returns them for the time of `lease`.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim(&self, limit: u32, lease: Duration) -> Result<Window, StoreError> {
        self.database.write(Claim { queue: self.outbox.clone(), limit, lease }).await
    }

    /// Marks the events of a window as published, except for `unconfirmed`: those may be claimed again at once.
    /// Returns how many were marked. Events that another claim holds by now stay as they are.
    ///
    /// # Errors
    /// When the database can't be written; the events will be published again, with the same ids.
    pub async fn finish(&self, window: Window, unconfirmed: Vec<Uuid>) -> Result<u64, StoreError> {
        self.database.write(Finish { queue: self.outbox.clone(), lease: window.lease, unconfirmed }).await
    }

    /// Ends the leases of the process that had the file before; see [`Queue::end_leases`].
    pub(super) async fn end_leases(&self) -> Result<(), StoreError> {
        self.database.write(EndLeases(self.outbox.clone())).await
    }
}
