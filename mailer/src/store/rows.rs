//! The decoding of rows.

use payment_api::event::PaymentEvent;
use store::Lease;
use store::sqlx::any::AnyRow;
use store::sqlx::{self, Row};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;

use super::Due;
use crate::dead_letter::{DeadLetter, State};

pub(super) fn due(row: &AnyRow, lease: &Lease) -> sqlx::Result<Due> {
    let event: PaymentEvent =
        serde_json::from_slice(&row.try_get::<Vec<u8>, _>("payload")?).map_err(decode)?;
    Ok(Due {
        event,
        trace_context: context(&row.try_get::<String, _>("trace_context")?)?,
        replay_context: row
            .try_get::<Option<String>, _>("replay_context")?
            .as_deref()
            .map(context)
            .transpose()?,
        attempt: number(row, "attempts")?,
        queued_at: timestamp(row.try_get("queued_at")?),
        handed_over: row.try_get::<i64, _>("handed_over")? != 0,
        uncertain: row.try_get::<i64, _>("uncertain")? != 0,
        lease: lease.clone(),
    })
}

pub(super) fn dead_letter(row: &AnyRow) -> sqlx::Result<DeadLetter> {
    let state = if row.try_get::<String, _>("state")? == "dead" { State::Dead } else { State::Uncertain };
    Ok(DeadLetter::new(
        Some(row.try_get("event_id")?),
        Some(row.try_get("order_id")?),
        &context(&row.try_get::<String, _>("trace_context")?)?,
        state,
        row.try_get::<Option<String>, _>("error")?.unwrap_or_default(),
        number(row, "attempts")?,
        Some(timestamp(row.try_get("received_at")?)),
    ))
}

/// The error of a row that can't be decoded: another program has written it.
pub(super) fn decode(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn context(json: &str) -> sqlx::Result<TraceContext> {
    serde_json::from_str(json).map_err(decode)
}

fn number(row: &AnyRow, column: &str) -> sqlx::Result<u32> {
    Ok(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX))
}

fn timestamp(milliseconds: i64) -> OffsetDateTime {
    // This service writes no other number than a time.
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
