//! Requests to the services with the tokens of `.env`.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, Url};
use serde_json::Value;
use uuid::Uuid;

use super::Places;
use crate::http;

/// The mailer reads the parking queue and moves messages, which takes longer than a probe.
const TIMEOUT: Duration = Duration::from_secs(90);

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Gateway,
    Payment,
    Mailer,
}

impl Service {
    /// The service with a simulation that has this name.
    pub(crate) fn simulated(name: &str) -> Option<Self> {
        match name {
            "payment" => Some(Self::Payment),
            "mailer" => Some(Self::Mailer),
            _ => None,
        }
    }

    /// Its name, its URL, and the name of the secret that holds its token.
    fn place(self, places: &Places) -> (&'static str, String, &'static str) {
        match self {
            Self::Gateway => ("the gateway", places.local.gateway_url(), "ALERTS_TOKEN"),
            Self::Payment => ("payment", places.local.payment_url(), "PAYMENT_TOKEN"),
            Self::Mailer => ("the mailer", places.local.mailer_url(), "MAILER_TOKEN"),
        }
    }
}

/// A request to a service.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) service: Service,
    pub(crate) method: Method,
    /// The segments of the path.
    pub(crate) path: &'a [&'a str],
    /// How many items a list may have.
    pub(crate) limit: Option<usize>,
    pub(crate) body: Option<&'a Value>,
}

impl<'a> Asked<'a> {
    /// Reads.
    pub(crate) fn to_read(service: Service, path: &'a [&'a str]) -> Self {
        Self { service, method: Method::GET, path, limit: None, body: None }
    }

    /// Changes something.
    pub(crate) fn to_change(service: Service, method: Method, path: &'a [&'a str]) -> Self {
        Self { service, method, path, limit: None, body: None }
    }
}

/// Asks a service. What reads leaves no span, for the console reads again and again.
///
/// # Errors
/// When the token is missing, or the service does not answer well.
pub(crate) async fn ask(places: &Places, asked: Asked<'_>) -> Result<Value> {
    let Asked { service, method, path, limit, body } = asked;
    let (name, base, token) = service.place(places);
    let mut url: Url = base.parse().with_context(|| format!("cannot use {base} as a URL"))?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    if let Some(limit) = limit {
        url.query_pairs_mut().append_pair("limit", &limit.to_string());
    }
    let is_read = method == Method::GET;
    let mut request = places.client.request(method, url).bearer_auth(places.secret(token)?).timeout(TIMEOUT);
    if is_read {
        request = request.header("traceparent", unsampled());
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = match request.send().await {
        Err(error) => {
            bail!("cannot ask {name} at {base}: it {}; `make up` starts the stack", http::brief(&error))
        }
        Ok(response) => response,
    };
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if !status.is_success() {
        let detail = answer["detail"].as_str().unwrap_or(text.trim());
        bail!("cannot ask {name} at {base}: it answered {status}: {detail}");
    }
    Ok(answer)
}

/// The `traceparent` of a trace that is not recorded.
pub(crate) fn unsampled() -> String {
    let (trace, span) = (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    format!("00-{trace}-{}-00", &span[..16])
}
