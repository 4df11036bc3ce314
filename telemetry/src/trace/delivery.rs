//! The HTTP client of the exporter: it gives up on a request only when the receiver refuses it for good.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use tokio::time::sleep;

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// A receiver may ask for patience, but not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

/// Sends until the receiver has answered with something other than "later".
///
/// While it waits, later spans wait in the bounded queue behind it.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    client: reqwest::Client,
    timeout: Duration,
}

impl Delivery {
    pub(super) fn new(timeout: Duration) -> Result<Self, reqwest::Error> {
        // A proxy is for the world outside; the receiver is a neighbour.
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client, timeout })
    }

    async fn attempt(&self, request: Request<Bytes>) -> Result<reqwest::Response, reqwest::Error> {
        let mut request = reqwest::Request::try_from(request)?;
        *request.timeout_mut() = Some(self.timeout);
        self.client.execute(request).await
    }
}

#[async_trait]
impl HttpClient for Delivery {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut delay = FIRST_DELAY;
        loop {
            let asked = match self.attempt(request.clone()).await {
                Ok(answer) if !is_retryable(answer.status()) => {
                    let mut response = Response::builder().status(answer.status());
                    if let Some(headers) = response.headers_mut() {
                        *headers = answer.headers().clone();
                    }
                    // The status has decided; a body that breaks off must not turn "accepted" into "lost".
                    return Ok(response.body(answer.bytes().await.unwrap_or_default())?);
                }
                Ok(answer) => retry_after(&answer),
                Err(error) if error.is_builder() => return Err(error.into()),
                Err(_) => None,
            };
            // "Come back at once", for ever, would be a siege.
            sleep(asked.map_or(delay, |asked| asked.max(FIRST_DELAY))).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }
}

/// The codes that the OTLP specification allows to retry.
fn is_retryable(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
