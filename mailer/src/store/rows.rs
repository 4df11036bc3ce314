//! The inbox as a table of work, and the decoding of its columns.

use std::fmt::Display;
use std::time::Duration;

use store::{Row, StoreError, Table};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;

/// Longer than each delay between attempts.
const MAX_DELAY: Duration = Duration::from_secs(20 * 60);

pub(super) const INBOX: Table = Table {
    name: "inbox",
    key: "event_id",
    is_open: "state = 'queued'",
    order_by: "due_at",
    max_delay: Some(MAX_DELAY),
    // A row that is claimed is not due: the index leads past it. A row that is due and still handed over: its last
    // attempt ended without a known result.
    on_claim: ", due_at = $2, uncertain = CASE WHEN handed_over = 1 THEN 1 ELSE uncertain END",
    columns: "payload, trace_context, replay_context, attempts, queued_at, handed_over, uncertain, history",
    on_set_aside: "state = 'dead', error = $2",
    finished_at: "sent_at",
    is_finished: "state = 'sent'",
};

/// The error of a row that can't be decoded: another program has written it.
pub(super) fn undecodable(error: impl Display) -> StoreError {
    StoreError::Undecodable(error.to_string())
}

pub(super) fn context(json: &str) -> Result<TraceContext, StoreError> {
    serde_json::from_str(json).map_err(undecodable)
}

pub(super) fn number(row: &mut Row) -> Result<u32, StoreError> {
    Ok(u32::try_from(row.take::<i64>()?).unwrap_or(u32::MAX))
}

pub(super) fn timestamp(row: &mut Row) -> Result<OffsetDateTime, StoreError> {
    time_of(row.take()?)
}

pub(super) fn time_of(milliseconds: i64) -> Result<OffsetDateTime, StoreError> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).map_err(undecodable)
}
