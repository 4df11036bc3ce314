//! The outbox: events on their way to the broker, claimed in windows.

use std::time::Duration;

use serde::de::IgnoredAny;
use store::{Claim, Lease, Row, StoreError};
use uuid::Uuid;

use super::Store;
use super::rows::{self, OutboxEvent};

/// Events that were claimed together, the oldest first, and rows that were set aside.
pub type Window = Claim<OutboxEvent>;

impl Store {
    /// Claims the oldest pending events: no other claim returns them for the time of `lease`.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim(&self, limit: u32, lease: Duration) -> Result<Window, StoreError> {
        self.outbox.claim(limit, lease, decode).await
    }

    /// Marks the events of a window as published, except for `unconfirmed`: those may be claimed again at once.
    /// Returns how many were marked. Events that another claim holds by now stay as they are.
    ///
    /// # Errors
    /// When the database can't be written; the events will be published again, with the same ids.
    pub async fn finish(&self, window: Window, unconfirmed: Vec<Uuid>) -> Result<u64, StoreError> {
        self.outbox.finish(window.lease, unconfirmed.iter().map(Uuid::to_string).collect()).await
    }
}

fn decode(key: &str, mut row: Row, _: &Lease) -> Result<OutboxEvent, StoreError> {
    let (order_id, routing_key): (String, _) = (row.take()?, row.take()?);
    let payload: Vec<u8> = row.take()?;
    // A mailer could only park it.
    let IgnoredAny = serde_json::from_slice(&payload).map_err(rows::undecodable)?;
    Ok(OutboxEvent {
        id: rows::parse(key)?,
        order_id: rows::parse(&order_id)?,
        routing_key,
        payload,
        trace_context: serde_json::from_str(&row.take::<String>()?).map_err(rows::undecodable)?,
    })
}
