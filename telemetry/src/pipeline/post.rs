//! One attempt to deliver one request, and what the answer means.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use actix_web::http::header::HttpDate;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use prost::bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::metrics::Rejected;
use crate::tls;

/// Of an answer, of which nobody reads more than how many were refused.
const LONGEST_ANSWER: usize = 64 * 1024;
/// A receiver may ask for patience, but not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// What a receiver has said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it was taken, but for as many items.
    Taken { rejected: u64 },
    /// It will never be taken.
    Refused(Rejected),
    /// Not now, or nobody knows: again, after this time if one was named.
    Later(Option<Duration>),
}

/// The client of one destination.
///
/// No proxy is asked for: that is for the world outside, and the receiver is a neighbour.
pub(super) struct Post {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    has_gzip: bool,
    timeout: Duration,
}

impl Post {
    pub(super) fn new(
        uri: Uri,
        mut headers: HeaderMap,
        has_gzip: bool,
        timeout: Duration,
    ) -> Result<Self, crate::Error> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers
            .insert(USER_AGENT, HeaderValue::from_static(concat!("telemetry/", env!("CARGO_PKG_VERSION"))));
        if has_gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // Only who is called by https:// has anybody to be trusted.
        let is_secure = uri.scheme_str() == Some("https");
        let config = if is_secure { tls::client_config()? } else { tls::trusting_nobody()? };
        let connector = HttpsConnectorBuilder::new().with_tls_config(Arc::unwrap_or_clone(config));
        let connector = connector.https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, uri, headers, has_gzip, timeout })
    }

    /// The body of a request, which can be sent any number of times.
    pub(super) fn wrap(&self, body: &Bytes) -> io::Result<Bytes> {
        if !self.has_gzip {
            return Ok(body.clone());
        }
        let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
        zipped.write_all(body)?;
        Ok(zipped.finish()?.into())
    }

    /// Sends it once.
    pub(super) async fn send(&self, body: &Bytes) -> Answer {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let deadline = Instant::now() + self.timeout;
        let Ok(Ok(answer)) = timeout_at(deadline, self.client.request(request)).await else {
            return Answer::Later(None);
        };
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return refusal(head.status.as_u16(), &head.headers);
        }
        // The status has decided; a body that breaks off must not turn "accepted" into "lost".
        let body = timeout_at(deadline, Limited::new(body, LONGEST_ANSWER).collect()).await.ok();
        let body = body.and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
        Answer::Taken { rejected: rejected(body) }
    }
}

/// The OTLP specification lists the codes after which a request may be sent again.
fn refusal(status: u16, headers: &HeaderMap) -> Answer {
    Answer::Refused(match status {
        429 | 502 | 503 | 504 => return Answer::Later(retry_after(headers)),
        400 => Rejected::BadRequest,
        401 | 403 => Rejected::Unauthorized,
        413 => Rejected::TooLarge,
        _ => Rejected::Other,
    })
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date: SystemTime = value.parse::<HttpDate>().ok()?.into();
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// How many items of a request that was taken were not: the same field in the answers for spans and for logs.
fn rejected(body: Bytes) -> u64 {
    let answer = ExportTraceServiceResponse::decode(body).unwrap_or_default();
    answer.partial_success.and_then(|partial| u64::try_from(partial.rejected_spans).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &str) -> Answer {
        refusal(503, &HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]))
    }

    #[test]
    fn only_what_the_specification_calls_temporary_is_sent_again() {
        let none = HeaderMap::new();
        for status in [429, 502, 503, 504] {
            assert_eq!(refusal(status, &none), Answer::Later(None), "{status}");
        }
        for (status, why) in [
            (400, Rejected::BadRequest),
            (401, Rejected::Unauthorized),
            (403, Rejected::Unauthorized),
            (413, Rejected::TooLarge),
            (404, Rejected::Other),
            (500, Rejected::Other),
            (302, Rejected::Other),
        ] {
            assert_eq!(refusal(status, &none), Answer::Refused(why), "{status}");
        }
    }

    #[test]
    fn patience_is_asked_for_in_seconds_or_until_a_date_and_not_for_ever() {
        assert_eq!(asked("7"), Answer::Later(Some(Duration::from_secs(7))));
        assert_eq!(asked("86400"), Answer::Later(Some(LONGEST_RETRY_AFTER)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Answer::Later(Some(Duration::ZERO)));
        assert_eq!(asked("Wed, 06 Nov 2999 08:49:37 GMT"), Answer::Later(Some(LONGEST_RETRY_AFTER)));
        assert_eq!(asked("soon"), Answer::Later(None));
    }

    #[test]
    fn a_partial_success_tells_how_many_were_refused_for_either_signal() {
        use opentelemetry_proto::tonic::collector::logs::v1::{
            ExportLogsPartialSuccess, ExportLogsServiceResponse,
        };
        let partial = ExportLogsPartialSuccess { rejected_log_records: 3, ..Default::default() };
        let answer = ExportLogsServiceResponse { partial_success: Some(partial) };
        assert_eq!(rejected(answer.encode_to_vec().into()), 3);
        assert_eq!(rejected(Bytes::from_static(b"not protobuf")), 0);
    }
}
