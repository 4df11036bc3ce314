//! What a response of payment means, and what it means to get none.

use payment_api::http::Payment;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use service::problem::Problem;

/// Why a call returned no payment.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Too many calls are in flight already; this one was not made.
    #[error("too many calls are in flight")]
    Busy,
    /// Payment has not answered the last calls; this one was not made.
    #[error("payment has not answered the last calls, and was not called")]
    CircuitOpen,
    /// Payment refused the request and gave a reason.
    #[error("payment refused: {0}")]
    Refused(Problem),
    /// Payment is still at work on a request with the same key.
    #[error("payment is still at work on a request with the same key")]
    InProgress(Problem),
    /// Payment could not be reached or is not available; nothing was decided.
    #[error("payment is not available")]
    Unavailable(#[source] Option<reqwest::Error>),
    /// The request was sent and no response came: it may have been decided.
    #[error("payment did not answer")]
    OutcomeUnknown(#[source] Option<reqwest::Error>),
    /// Payment, or a proxy before it, failed at the request: it may have been decided.
    #[error("payment or a proxy failed with {0}")]
    Failed(StatusCode),
    /// The response of payment is not in the contract.
    #[error("payment answered {0}, which is not in the contract")]
    Contract(StatusCode),
}

impl CallError {
    /// Whether the same request may succeed soon.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_)) || self.may_be_decided()
    }

    /// Whether the request of the client is the reason, and not a failure of ours.
    pub(super) fn is_of_client(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.status < 500,
            Self::InProgress(_) => true,
            _ => false,
        }
    }

    /// Whether payment may have done what the request asks for.
    pub(super) fn may_be_decided(&self) -> bool {
        matches!(self, Self::OutcomeUnknown(_) | Self::Failed(_))
    }

    /// Whether there was no response at all.
    pub(super) fn is_silence(&self) -> bool {
        matches!(self, Self::Unavailable(Some(_)) | Self::OutcomeUnknown(_))
    }

    /// The error of the call where an earlier attempt may have been decided: a refusal now does not undo that attempt.
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

    /// The outcome of an attempt that was made: one of [`Metrics::OUTCOMES`](crate::metrics::Metrics::OUTCOMES).
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::InProgress(_) => "in_progress",
            Self::Failed(_) | Self::Contract(_) => "contract",
            Self::Busy | Self::CircuitOpen | Self::Unavailable(None) => "unavailable",
            Self::Unavailable(Some(_)) => "connect",
            Self::OutcomeUnknown(_) => "timeout",
        }
    }

    /// The `error.type` of a span.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Busy => "busy".to_owned(),
            Self::CircuitOpen => "circuit_open".to_owned(),
            Self::Refused(problem) | Self::InProgress(problem) => problem.status.to_string(),
            Self::Failed(status) | Self::Contract(status) => status.as_str().to_owned(),
            Self::Unavailable(None) => StatusCode::SERVICE_UNAVAILABLE.as_str().to_owned(),
            Self::Unavailable(Some(_)) => "connect".to_owned(),
            Self::OutcomeUnknown(_) => "timeout".to_owned(),
        }
    }
}

/// Reads a response.
pub(super) async fn read(response: reqwest::Response) -> Result<Payment, CallError> {
    let status = response.status();
    match status {
        StatusCode::OK => response.json().await.map_err(|error| CallError::OutcomeUnknown(Some(error))),
        // Payment lost its store during the commit: the same request again returns the outcome.
        StatusCode::GATEWAY_TIMEOUT => Err(CallError::OutcomeUnknown(None)),
        StatusCode::SERVICE_UNAVAILABLE => Err(match problem(response).await {
            Some(problem) if problem.kind != "/problems/unavailable" => CallError::Refused(problem),
            Some(_) => CallError::Unavailable(None),
            None => CallError::Failed(status),
        }),
        StatusCode::CONFLICT => {
            Err(problem(response).await.map_or(CallError::Contract(status), CallError::InProgress))
        }
        StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
            Err(problem(response).await.map_or(CallError::Contract(status), CallError::Refused))
        }
        failed if failed.is_server_error() => Err(CallError::Failed(failed)),
        _ => Err(CallError::Contract(status)),
    }
}

/// The problem document of a response, with its `Retry-After`.
async fn problem(response: reqwest::Response) -> Option<Problem> {
    let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let problem: Problem = response.json().await.ok()?;
    Some(match seconds {
        Some(seconds) => problem.retry_after(seconds),
        None => problem,
    })
}
