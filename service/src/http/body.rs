//! The body of a request: bounded, and JSON where there is one.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderName};
use actix_web::{HttpRequest, web};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::problem::Problem;

/// Reads a body of at most `limit` bytes; empty where there is none.
///
/// # Errors
/// 413 when it is too large, 415 when it is not declared as plain JSON, 400 when it is incomplete, 408 when it has not
/// arrived by the deadline, 417 for an unknown expectation.
pub async fn read_json(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
    deadline: Duration,
) -> Result<Vec<u8>, Problem> {
    let declared = header(request, &CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        expect_no_surprise(request)?;
        return Err(Problem::too_large(limit).closing());
    }
    match read_beginning(request, payload, limit, deadline).await? {
        Beginning { bytes, is_whole: true } => Ok(bytes),
        Beginning { is_whole: false, .. } => Err(Problem::too_large(limit).closing()),
    }
}

/// The beginning of a body.
pub struct Beginning {
    /// Its bytes, up to the limit.
    pub bytes: Vec<u8>,
    /// Whether these are all.
    pub is_whole: bool,
}

/// Reads the first `limit` bytes of a body; the rest is left unread.
///
/// # Errors
/// 415 when it is not declared as plain JSON, 400 when it is incomplete, 408 when it has not arrived by the deadline, 417
/// for an unknown expectation.
pub async fn read_beginning(
    request: &HttpRequest,
    payload: web::Payload,
    limit: usize,
    deadline: Duration,
) -> Result<Beginning, Problem> {
    // actix-web waits for a body without a limit.
    timeout(deadline, read(request, payload, limit)).await.unwrap_or_else(|_| Err(too_slow(deadline)))
}

async fn read(request: &HttpRequest, mut payload: web::Payload, limit: usize) -> Result<Beginning, Problem> {
    expect_no_surprise(request)?;
    let mut bytes = Vec::new();
    let mut is_whole = true;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| incomplete())?;
        let room = limit - bytes.len();
        if chunk.len() > room {
            bytes.extend_from_slice(&chunk[..room]);
            is_whole = false;
            break;
        }
        bytes.extend_from_slice(&chunk);
    }
    if !bytes.is_empty() {
        expect_plain_json(request)?;
    }
    Ok(Beginning { bytes, is_whole })
}

fn expect_no_surprise(request: &HttpRequest) -> Result<(), Problem> {
    match header(request, &EXPECT).is_some_and(|wish| !wish.eq_ignore_ascii_case("100-continue")) {
        true => Err(unknown_expectation()),
        false => Ok(()),
    }
}

fn expect_plain_json(request: &HttpRequest) -> Result<(), Problem> {
    if header(request, &CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        let detail = "Send the body as it is, without a content-encoding.";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::new(status, "unsupported-encoding", "Unsupported content encoding", detail));
    }
    let content_type = header(request, &CONTENT_TYPE).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            // JSON has no such parameter (RFC 8259 section 11): the names of UTF-8 and of its subset change nothing.
            let charset = value.trim_matches('"');
            ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
        }
        _ => true,
    };
    if is_json && parts.all(is_utf8) { Ok(()) } else { Err(Problem::unsupported_media_type()) }
}

/// The value of a header that occurs once.
fn header<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    let mut values = request.headers().get_all(name);
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

fn too_slow(deadline: Duration) -> Problem {
    let detail = format!("The body did not arrive within {} s.", deadline.as_secs_f32());
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request-timeout", "Request timeout", detail).closing()
}

fn unknown_expectation() -> Problem {
    let detail =
        "The only expectation that is supported is 100-continue. Send the request without the header.";
    Problem::new(StatusCode::EXPECTATION_FAILED, "expectation-failed", "Expectation failed", detail).closing()
}

fn incomplete() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "bad-framing",
        "Body incomplete",
        "The body was incomplete or badly framed. Repeat the request.",
    )
}
