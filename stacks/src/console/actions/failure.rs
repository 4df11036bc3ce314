//! Why an action was not done, as the page shows it.

use anyhow::Error;
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// The status and the reason.
pub(in crate::console) struct Failure(StatusCode, String);

impl Failure {
    /// The request makes no sense.
    pub(in crate::console) fn bad(reason: impl Into<String>) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, reason.into())
    }

    /// Something else is under way.
    pub(super) fn busy(reason: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, reason.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(StatusCode::BAD_GATEWAY, format!("{error:#}"))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"reason": self.1}))).into_response()
    }
}
