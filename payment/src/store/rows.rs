//! The rows of payments, keys and events, and the outbox as a table of work.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use payment_api::Money;
use payment_api::http::{EventState, Outcome, Payment};
use store::{Row, StoreError, Table};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;
use uuid::Uuid;

/// The time after which a key may be used for another order, and a published event is forgotten.
pub(super) const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

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

pub(super) const OUTBOX: Table = Table {
    name: "outbox",
    key: "event_id",
    is_open: "published_at IS NULL AND error IS NULL",
    order_by: "created_at",
    // The clock of the replica that wrote the row may be ahead: `created_at` says nothing but the order.
    max_delay: None,
    on_claim: "",
    columns: "order_id, routing_key, payload, trace_context",
    on_set_aside: "error = $2",
    finished_at: "published_at",
    is_finished: "published_at IS NOT NULL",
};

/// A payment that was settled before, with the fingerprint of its request.
pub struct Known {
    /// The payment.
    pub payment: Payment,
    /// The fingerprint of its request, see [`Settlement`](super::Settlement).
    pub fingerprint: String,
}

/// The columns of a payment. Without a row in the outbox its event was published and forgotten.
macro_rules! payment_columns {
    () => {
        "p.order_id, p.currency, p.amount_minor, p.outcome, p.reason, p.settled_at, p.trace_id, \
         CASE WHEN o.event_id IS NOT NULL AND o.published_at IS NULL THEN 1 ELSE 0 END"
    };
}
pub(super) use payment_columns;

pub(super) const FIND: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments p LEFT JOIN outbox o ON o.order_id = p.order_id WHERE p.order_id = $1"
);

pub(super) fn known(mut row: Row) -> Result<Known, StoreError> {
    Ok(Known { fingerprint: row.take()?, payment: payment(&mut row)? })
}

pub(super) fn payment(row: &mut Row) -> Result<Payment, StoreError> {
    let order_id = parse(&row.take::<String>()?)?;
    let currency = parse(&row.take::<String>()?)?;
    let amount = Money::from_minor(row.take()?, currency).map_err(undecodable)?;
    let outcome = match row.take::<String>()?.as_str() {
        "succeeded" => Outcome::Succeeded,
        _ => Outcome::Declined,
    };
    let reason = row.take()?;
    let settled_at = i128::from(row.take::<i64>()?) * 1_000_000;
    Ok(Payment {
        order_id,
        outcome,
        reason,
        amount: amount.to_string(),
        currency,
        settled_at: OffsetDateTime::from_unix_timestamp_nanos(settled_at).map_err(undecodable)?,
        trace_id: row.take()?,
        event: if row.take::<i64>()? == 0 { EventState::Published } else { EventState::Pending },
    })
}

pub(super) fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(undecodable)
}

/// The error of a row that can't be decoded: another program has written it.
pub(super) fn undecodable(error: impl Display) -> StoreError {
    StoreError::Undecodable(error.to_string())
}

pub(super) fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
