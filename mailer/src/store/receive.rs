//! Deliveries: committed to the inbox before they are acknowledged.

use payment_api::event::PaymentEvent;
use store::sqlx::{self, query};
use store::{Session, StoreError, Write};
use telemetry::propagation::TraceContext;

use super::{Store, rows};

/// An event that has been delivered.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The event.
    pub event: PaymentEvent,
    /// The context of the delivery.
    pub context: TraceContext,
}

struct Receive(Vec<Arrival>);

impl Write for Receive {
    /// For each arrival, true if it is new.
    type Output = Vec<bool>;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<Vec<bool>> {
        let mut new = Vec::with_capacity(self.0.len());
        for Arrival { event, context } in &self.0 {
            let inserted = query(
                "INSERT INTO inbox (event_id, order_id, payload, trace_context, received_at, queued_at, due_at) \
                 VALUES ($1, $2, $3, $4, $5, $5, $5) ON CONFLICT (event_id) DO NOTHING",
            )
            .bind(event.id.to_string())
            .bind(event.data.order_id.to_string())
            .bind(serde_json::to_vec(event).map_err(rows::decode)?)
            .bind(serde_json::to_string(context).map_err(rows::decode)?)
            .bind(session.now)
            .execute(&mut *session.connection)
            .await?;
            new.push(inserted.rows_affected() == 1);
        }
        Ok(new)
    }
}

impl Store {
    /// Puts events into the inbox, all of them or none; returns for each if it is new.
    ///
    /// # Errors
    /// When the commit failed, or its outcome is unknown: receiving the events again is harmless.
    pub async fn receive(&self, arrivals: Vec<Arrival>) -> Result<Vec<bool>, StoreError> {
        self.database.write(Receive(arrivals)).await
    }
}
