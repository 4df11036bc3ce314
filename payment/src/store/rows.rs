//! The decoding of rows.

use payment_api::Money;
use payment_api::http::{EventState, Outcome, Payment};
use store::sqlx::any::AnyRow;
use store::sqlx::{self, Row};
use time::OffsetDateTime;

use super::{Known, OutboxEvent};

/// The columns of a payment. Without a row in the outbox its event was published and forgotten.
macro_rules! payment_columns {
    () => {
        "p.order_id, p.outcome, p.reason, p.amount_minor, p.currency, p.trace_id, p.settled_at, \
         CASE WHEN o.event_id IS NOT NULL AND o.published_at IS NULL THEN 1 ELSE 0 END AS pending"
    };
}
pub(super) use payment_columns;

pub(super) const FIND: &str = concat!(
    "SELECT ",
    payment_columns!(),
    " FROM payments p LEFT JOIN outbox o ON o.order_id = p.order_id WHERE p.order_id = $1"
);

pub(super) fn known(row: &AnyRow) -> Result<Known, sqlx::Error> {
    Ok(Known { payment: payment(row)?, fingerprint: row.try_get("fingerprint")? })
}

pub(super) fn payment(row: &AnyRow) -> Result<Payment, sqlx::Error> {
    let currency = row.try_get::<String, _>("currency")?.parse().map_err(decode)?;
    let amount = Money::from_minor(row.try_get("amount_minor")?, currency).map_err(decode)?;
    let outcome = match row.try_get::<String, _>("outcome")?.as_str() {
        "succeeded" => Outcome::Succeeded,
        _ => Outcome::Declined,
    };
    let settled_at = i128::from(row.try_get::<i64, _>("settled_at")?) * 1_000_000;
    Ok(Payment {
        order_id: row.try_get::<String, _>("order_id")?.parse().map_err(decode)?,
        outcome,
        reason: row.try_get("reason")?,
        amount: amount.to_string(),
        currency,
        settled_at: OffsetDateTime::from_unix_timestamp_nanos(settled_at).map_err(decode)?,
        trace_id: row.try_get("trace_id")?,
        event: if row.try_get::<i64, _>("pending")? == 0 {
            EventState::Published
        } else {
            EventState::Pending
        },
    })
}

pub(super) fn outbox_event(row: &AnyRow) -> Result<OutboxEvent, sqlx::Error> {
    Ok(OutboxEvent {
        id: row.try_get::<String, _>("event_id")?.parse().map_err(decode)?,
        order_id: row.try_get::<String, _>("order_id")?.parse().map_err(decode)?,
        routing_key: row.try_get("routing_key")?,
        payload: row.try_get("payload")?,
        trace_context: serde_json::from_str(&row.try_get::<String, _>("trace_context")?).map_err(decode)?,
    })
}

/// The error of a row that can't be decoded: another program has written it.
pub(super) fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

pub(super) fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

pub(super) fn now() -> i64 {
    milliseconds(OffsetDateTime::now_utc())
}
