//! The HTTP client of one destination: one attempt to deliver one request, and what the answer means.

use std::cell::Cell;
use std::error::Error as StdError;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::uri::Authority;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as HyperClient, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use prost::bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::metrics::Rejected;
use crate::{certificate, tls};

/// Bytes of an answer, of which the number of refused items alone is read.
const MAX_ANSWER: usize = 64 * 1024;
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
/// Between two log lines about the same certificate.
const REPORT: Duration = Duration::from_secs(60);

/// What a receiver has answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it is accepted, without as many items.
    Accepted { rejected: u64 },
    /// It will never be accepted.
    Refused(Rejected),
    /// Not now, or there was no answer: again, after this time if one was named.
    Later(Option<Duration>),
}

/// The client of one destination. It asks no proxy: receivers are in the same network.
pub(super) struct Client {
    client: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    uri: Uri,
    headers: HeaderMap,
    has_gzip: bool,
    timeout: Duration,
    /// When a refused certificate was logged last.
    reported: Cell<Option<Instant>>,
}

impl Client {
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
        // A system without certificates is an error for https:// alone.
        let is_secure = uri.scheme_str() == Some("https");
        let config = if is_secure { tls::client_config()? } else { tls::without_roots()? };
        let connector = HttpsConnectorBuilder::new().with_tls_config(Arc::unwrap_or_clone(config));
        let connector = connector.https_or_http().enable_http1().build();
        let client = HyperClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, uri, headers, has_gzip, timeout, reported: Cell::default() })
    }

    /// The body of a request as it is sent, any number of times.
    pub(super) fn compress(&self, body: &Bytes) -> io::Result<Bytes> {
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
        let answer = match timeout_at(deadline, self.client.request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.report(&error);
                return Answer::Later(None);
            }
            Err(_) => return Answer::Later(None),
        };
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return refusal(head.status.as_u16(), &head.headers);
        }
        // The status has decided; a body that breaks off must not turn "accepted" into "lost".
        let body = timeout_at(deadline, Limited::new(body, MAX_ANSWER).collect()).await.ok();
        let body = body.and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
        Answer::Accepted { rejected: rejected(body) }
    }

    /// Logs a certificate that is refused, once a while: unlike a receiver that is away, it does not heal.
    fn report(&self, error: &(dyn StdError + 'static)) {
        let Some(advice) = certificate::advice(error) else { return };
        if self.reported.get().is_none_or(|last| last.elapsed() > REPORT) {
            self.reported.set(Some(Instant::now()));
            let receiver = self.uri.authority().map_or("", Authority::as_str);
            tracing::warn!(
                server.address = receiver,
                error.message = advice,
                "receiver's certificate refused"
            );
        }
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
            let date: SystemTime = httpdate::parse_http_date(value).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Items that were refused within a success: the same field in the answers for all signals.
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
    fn temporary_answers_of_the_specification_are_sent_again() {
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
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        assert_eq!(asked("7"), Answer::Later(Some(Duration::from_secs(7))));
        assert_eq!(asked("86400"), Answer::Later(Some(MAX_RETRY_AFTER)));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Answer::Later(Some(Duration::ZERO)));
        assert_eq!(asked("Wed, 06 Nov 2999 08:49:37 GMT"), Answer::Later(Some(MAX_RETRY_AFTER)));
        assert_eq!(asked("soon"), Answer::Later(None));
    }

    #[test]
    fn a_partial_success_tells_how_many_items_were_refused() {
        use opentelemetry_proto::tonic::collector::logs::v1::{
            ExportLogsPartialSuccess, ExportLogsServiceResponse,
        };
        let partial = ExportLogsPartialSuccess { rejected_log_records: 3, ..Default::default() };
        let answer = ExportLogsServiceResponse { partial_success: Some(partial) };
        assert_eq!(rejected(answer.encode_to_vec().into()), 3);
        assert_eq!(rejected(Bytes::from_static(b"not protobuf")), 0);
    }
}
