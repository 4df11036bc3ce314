//! What payment's answers mean, and what the lack of one means.

use payment_api::http::Payment;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use service::problem::Problem;

/// Why there is no payment.
#[derive(Debug, thiserror::Error)]
pub enum PayError {
    /// Too many calls are in flight already; this one was not made.
    #[error("too many calls are in flight")]
    Busy,
    /// Payment has not answered for a while; this call was not made.
    #[error("payment has not answered for a while, and was not asked")]
    CircuitOpen,
    /// Payment refused the request, and says why.
    #[error("payment refused: {0}")]
    Refused(Problem),
    /// Payment is still at work on a request with the same key.
    #[error("payment is still at work on it")]
    InProgress(Problem),
    /// Payment could not be reached, or could not do it; nothing was decided.
    #[error("payment is not available")]
    Unavailable(#[source] Option<reqwest::Error>),
    /// The request went out, and no answer came: it may have been decided.
    #[error("payment did not answer")]
    OutcomeUnknown(#[source] Option<reqwest::Error>),
    /// Payment answered something that is not in the contract.
    #[error("payment answered {0}, which is not in the contract")]
    Contract(StatusCode),
}

impl PayError {
    /// Whether the same request may succeed a moment later.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::OutcomeUnknown(_))
    }

    /// Whether payment said nothing at all.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Unavailable(Some(_)) | Self::OutcomeUnknown(_))
    }

    /// What this means when an earlier attempt may have been decided: that it can't be done now says nothing about
    /// what was done then.
    pub(super) fn after_unknown(self) -> Self {
        match self {
            Self::Unavailable(cause) => Self::OutcomeUnknown(cause),
            Self::CircuitOpen | Self::InProgress(_) => Self::OutcomeUnknown(None),
            Self::Refused(problem) if problem.status == StatusCode::SERVICE_UNAVAILABLE => {
                Self::OutcomeUnknown(None)
            }
            error => error,
        }
    }

    /// One of [`Metrics::OUTCOMES`](crate::metrics::Metrics::OUTCOMES), of an attempt that was made.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::InProgress(_) => "in_progress",
            Self::Contract(_) => "contract",
            Self::Busy | Self::CircuitOpen | Self::Unavailable(None) => "unavailable",
            Self::Unavailable(Some(_)) => "connect",
            Self::OutcomeUnknown(_) => "timeout",
        }
    }

    /// `error.type` of a span.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Busy => "busy".to_owned(),
            Self::CircuitOpen => "circuit_open".to_owned(),
            Self::Refused(problem) | Self::InProgress(problem) => problem.status.to_string(),
            Self::Contract(status) => status.as_str().to_owned(),
            Self::Unavailable(None) => StatusCode::SERVICE_UNAVAILABLE.as_str().to_owned(),
            Self::Unavailable(Some(_)) => "connect".to_owned(),
            Self::OutcomeUnknown(_) => "timeout".to_owned(),
        }
    }
}

/// Reads an answer.
pub(super) async fn read(answer: reqwest::Response) -> Result<Payment, PayError> {
    let status = answer.status();
    match status {
        StatusCode::OK => answer.json().await.map_err(|error| PayError::OutcomeUnknown(Some(error))),
        // Its store was lost in a commit: the same question again tells.
        StatusCode::GATEWAY_TIMEOUT => Err(PayError::OutcomeUnknown(None)),
        StatusCode::SERVICE_UNAVAILABLE => Err(match problem(answer).await {
            Some(problem) if problem.kind != "/problems/unavailable" => PayError::Refused(problem),
            _ => PayError::Unavailable(None),
        }),
        StatusCode::CONFLICT => {
            Err(problem(answer).await.map_or(PayError::Contract(status), PayError::InProgress))
        }
        StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(problem(answer).await.map_or(PayError::Contract(status), PayError::Refused))
        }
        _ => Err(PayError::Contract(status)),
    }
}

/// The problem document of an answer, with its `Retry-After`.
async fn problem(answer: reqwest::Response) -> Option<Problem> {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let problem: Problem = answer.json().await.ok()?;
    Some(match seconds {
        Some(seconds) => problem.retry_after(seconds),
        None => problem,
    })
}
