//! One e-mail or message that no attempt is made for any more.

use serde::Serialize;
use serde_json::Value;
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;

/// One e-mail or message that no attempt is made for any more.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The id of the event; a parked message may have none.
    pub event_id: Option<String>,
    /// The id of the order, where it can be read.
    pub order_id: Option<String>,
    /// The trace of the order.
    pub trace_id: Option<String>,
    /// The kind of dead letter.
    pub state: State,
    /// Why it is one.
    pub reason: String,
    /// Attempts that were made.
    pub attempts: u32,
    /// When it was received, or parked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub received_at: Option<OffsetDateTime>,
    /// Seconds since then.
    pub age_seconds: Option<i64>,
}

/// The kind of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// An e-mail that was refused, or failed for too long.
    Dead,
    /// An e-mail that the mail server may have or not.
    Uncertain,
    /// A message that can't be read.
    Parked,
}

/// One dead letter with all that is known of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    #[expect(missing_docs, reason = "its members are those of the story")]
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// The trace of the request that put it back last.
    pub replay_trace_id: Option<String>,
    /// The newest failed attempts, the oldest first.
    pub history: Vec<FailedAttempt>,
    /// The event without personal data; null where it is no JSON.
    pub event: Option<Value>,
}

/// One attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedAttempt {
    /// When its outcome was known.
    #[serde(with = "time::serde::rfc3339::option")]
    pub at: Option<OffsetDateTime>,
    /// The answer of the mail server or the broker, or why there was none.
    pub answer: String,
}

/// The trace of a context, where it has one.
pub(crate) fn trace_id(context: &TraceContext) -> Option<String> {
    let span = context.span_context();
    span.is_valid().then(|| span.trace_id().to_string())
}

impl DeadLetter {
    pub(crate) fn new(
        event_id: Option<String>,
        order_id: Option<String>,
        context: &TraceContext,
        state: State,
        reason: String,
        attempts: u32,
        received_at: Option<OffsetDateTime>,
    ) -> Self {
        let trace_id = trace_id(context);
        let age_seconds = received_at.map(|at| (OffsetDateTime::now_utc() - at).whole_seconds());
        Self { event_id, order_id, trace_id, state, reason, attempts, received_at, age_seconds }
    }
}
