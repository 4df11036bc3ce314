//! Deliveries: committed to the inbox before they are acknowledged.

use std::sync::Arc;

use futures_util::future::try_join_all;
use payment_api::event::PaymentEvent;
use store::{Session, StoreError};
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

pub(super) const INSERT: &str = "INSERT INTO inbox (event_id, order_id, payload, trace_context, received_at, queued_at, due_at) \
     VALUES ($1, $2, $3, $4, $5, $5, $5) ON CONFLICT (event_id) DO NOTHING";

impl Store {
    /// Puts events into the inbox, all of them or none; returns for each if it is new.
    ///
    /// # Errors
    /// When the commit failed, or its outcome is unknown: receiving the events again is harmless.
    pub async fn receive(&self, arrivals: impl Into<Arc<[Arrival]>>) -> Result<Vec<bool>, StoreError> {
        let arrivals = arrivals.into();
        let receive = async move |session: &Session<'_>| {
            // The statements of all travel together.
            try_join_all(arrivals.iter().map(|arrival| arrival.insert(session))).await
        };
        let new = self.database.write(receive).await.inspect_err(|error| self.inbox.failed(error))?;
        self.inbox.added(new.iter().filter(|is_new| **is_new).count() as u64);
        Ok(new)
    }
}

impl Arrival {
    async fn insert(&self, session: &Session<'_>) -> Result<bool, StoreError> {
        let Self { event, context } = self;
        let row = [
            event.id.to_string().into(),
            event.data.order_id.to_string().into(),
            serde_json::to_vec(event).map_err(rows::undecodable)?.into(),
            serde_json::to_string(context).map_err(rows::undecodable)?.into(),
            session.now.into(),
        ];
        Ok(session.execute(INSERT, &row).await? == 1)
    }
}
