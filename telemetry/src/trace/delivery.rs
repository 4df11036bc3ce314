//! The HTTP client of the exporter: it gives up on a request only when the receiver refuses it for good.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Collected, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::time::{Instant, sleep, timeout_at};

use crate::tls;

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// Of an answer that nobody reads for more than its status.
const LONGEST_ANSWER: usize = 64 * 1024;
/// A receiver may ask for patience, but not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Sends until the receiver has answered with something other than "later".
///
/// While it waits, later spans wait in the bounded queue behind it. No proxy is asked for: that is for the world
/// outside, and the receiver is a neighbour.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl Delivery {
    /// `endpoint` decides whether there is anybody to be trusted.
    pub(super) fn new(endpoint: &str, timeout: Duration) -> Result<Self, crate::Error> {
        let is_secure = endpoint.starts_with("https://");
        let config = if is_secure { tls::client_config()? } else { tls::trusting_nobody()? };
        let connector = HttpsConnectorBuilder::new().with_tls_config(Arc::unwrap_or_clone(config));
        let connector = connector.https_or_http().enable_http1().build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), timeout })
    }

    /// The status, the headers, and as much of the body as arrived in time.
    async fn attempt(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let deadline = Instant::now() + self.timeout;
        let answer = timeout_at(deadline, self.client.request(request.map(Full::new))).await.ok()?.ok()?;
        let (head, body) = answer.into_parts();
        // The status has decided; a body that breaks off must not turn "accepted" into "lost".
        let body = timeout_at(deadline, Limited::new(body, LONGEST_ANSWER).collect()).await.ok();
        let body = body.and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
        Some(Response::from_parts(head, body))
    }
}

#[async_trait]
impl HttpClient for Delivery {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut delay = FIRST_DELAY;
        loop {
            let asked = match self.attempt(request.clone()).await {
                Some(answer) if !is_retryable(answer.status().as_u16()) => return Ok(answer),
                Some(answer) => retry_after(&answer),
                None => None,
            };
            // "Come back at once", for ever, would be a siege.
            sleep(asked.map_or(delay, |asked| asked.max(FIRST_DELAY))).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }
}

/// The codes that the OTLP specification allows to retry.
fn is_retryable(status: u16) -> bool {
    matches!(status, 429 | 502 | 503 | 504)
}

fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
