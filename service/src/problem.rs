//! Errors for HTTP clients: problem documents (RFC 9457) with the trace id, so that a report of a user leads to its trace.

use std::borrow::Cow;
use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use serde::{Deserialize, Serialize};

use telemetry::propagation::current_trace_id;

/// The media type of a problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Bytes of the errors in one document; the rest is counted alone.
const MAX_ERRORS: usize = 8 * 1024;

/// One problem document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// A path that names the kind of problem, such as `/problems/validation`.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The kind of problem in words, the same for each occurrence.
    pub title: Cow<'static, str>,
    /// The HTTP status, repeated.
    pub status: u16,
    /// The occurrence, and the action that helps.
    pub detail: Cow<'static, str>,
    /// The trace of the request: 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The errors of fields of the request body.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(skip)]
    closes: bool,
    #[serde(skip)]
    headers: Vec<(HeaderName, String)>,
}

/// The error of one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// A JSON Pointer (RFC 6901) into the body.
    pub pointer: String,
    /// The error for programs.
    pub code: Cow<'static, str>,
    /// The error for people.
    pub detail: Cow<'static, str>,
}

impl Problem {
    /// A problem of kind `/problems/{name}`; takes the current trace id.
    pub fn new(
        status: StatusCode,
        name: &str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind: format!("/problems/{name}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail: detail.into(),
            trace_id: current_trace_id(),
            errors: Vec::new(),
            closes: false,
            headers: Vec::new(),
        }
    }

    /// 404: there is no resource at this path.
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// 405, with the methods of the path.
    pub fn method_not_allowed(allowed: &str) -> Self {
        let detail = format!("This path answers {allowed}.");
        let problem =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", detail);
        Self { headers: vec![(ALLOW, allowed.to_owned())], ..problem }
    }

    /// 413: the body is larger than `limit` bytes.
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("The body may have at most {limit} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large", detail)
    }

    /// 415: the body is not declared as JSON.
    pub fn unsupported_media_type() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "Unsupported media type",
            "Send JSON in UTF-8 with the header content-type: application/json.",
        )
    }

    /// 400: the body is not JSON.
    pub fn malformed_json(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed-json", "Malformed JSON", detail)
    }

    /// 422: JSON with other contents than expected. The fields that are wrong are named, up to some 8 KiB of them: a
    /// response must not be much larger than its request.
    pub fn validation(mut errors: Vec<FieldError>) -> Self {
        let (found, mut bytes) = (errors.len(), 0);
        errors.retain(|error| {
            // A control character takes six bytes in JSON.
            bytes += 6 * error.pointer.len() + error.code.len() + error.detail.len();
            bytes <= MAX_ERRORS
        });
        let detail = match errors.as_slice() {
            [one] if found == 1 && one.pointer.is_empty() => format!("The body {}.", one.detail),
            [one] if found == 1 => format!("{} {}.", one.pointer, one.detail),
            [] if found == 1 => "A field is not acceptable; its name is too long to be repeated.".to_owned(),
            all if found == all.len() => format!("{found} fields are not acceptable; see errors."),
            some => format!("{found} fields are not acceptable; errors names {} of them.", some.len()),
        };
        let problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "validation", "The request is not valid", detail);
        Self { errors, ..problem }
    }

    /// 401: the bearer token is missing or wrong; the response is the same.
    pub fn unauthorized() -> Self {
        let detail = "A valid bearer token is needed.";
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail);
        Self { headers: vec![(WWW_AUTHENTICATE, "Bearer".to_owned())], ..problem }
    }

    /// 503: a part of the service is not available; nothing was done.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable", detail)
            .retry_after(1)
    }

    /// 504: the request may have had its effect or not; the same key leads to the outcome.
    pub fn outcome_unknown(reason: &str) -> Self {
        let detail =
            format!("{reason} Repeat the request with the same Idempotency-Key to learn the outcome.");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "outcome-unknown", "Outcome unknown", detail)
    }

    /// 500: a bug; the log has the cause, the client gets the trace id.
    pub fn internal() -> Self {
        let detail = "This is an error of the service. The trace id leads us to the cause.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", detail)
    }

    /// Closes the connection after the response, because the rest of the request can't be read.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.closes = true;
        self
    }

    /// Adds a `Retry-After` header, in seconds.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, seconds.to_string())
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type(PROBLEM_JSON).insert_header((CACHE_CONTROL, "no-store"));
        if self.closes {
            // The header alone has no effect: actix writes its own.
            response.force_close();
        }
        for header in &self.headers {
            response.insert_header(header.clone());
        }
        response.json(self)
    }
}

/// For interfaces between programs, where the first error is enough.
impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        if !error.is_data() {
            return Self::malformed_json(format!("The body can't be read: {error}."));
        }
        Self::validation(vec![FieldError {
            pointer: String::new(),
            code: "shape".into(),
            // Without the text of the error, which quotes the body: that may be personal data.
            detail: format!(
                "does not have the expected shape at line {}, column {}",
                error.line(),
                error.column()
            )
            .into(),
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn many_errors_make_a_document_below_16_kib() {
        let field = |name: &str| FieldError {
            pointer: format!("/{name}"),
            code: "unknown".into(),
            detail: "is no field of an order".into(),
        };
        let short: Vec<FieldError> = (0..9_300).map(|number| field(&number.to_string())).collect();
        let long = vec![field(&"\u{1}".repeat(60_000))];
        for (errors, found) in [(short, "9300 fields are not"), (long, "A field is not")] {
            let response = Problem::validation(errors).error_response();
            let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
            assert!(body.len() < 16 * 1024, "{found}: {} bytes", body.len());
            let body: Problem = serde_json::from_slice(&body).unwrap();
            assert!(body.detail.starts_with(found), "{}", body.detail);
        }
    }

    #[actix_rt::test]
    async fn a_problem_is_a_document_of_rfc_9457() {
        let field =
            FieldError { pointer: "/currency".into(), code: "unknown".into(), detail: "is bad".into() };
        let response = Problem::validation(vec![field]).retry_after(3).error_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers().get("content-type").unwrap(), PROBLEM_JSON);
        assert_eq!(response.headers().get("retry-after").unwrap(), "3");
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["type"], "/problems/validation");
        assert_eq!(body["status"], 422);
        assert_eq!(body["detail"], "/currency is bad.");
        assert_eq!(body["errors"][0]["pointer"], "/currency");
    }
}
