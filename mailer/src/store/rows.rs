//! The decoding of columns.

use std::fmt::Display;

use store::{Row, StoreError};
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;

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
    let milliseconds: i64 = row.take()?;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).map_err(undecodable)
}
