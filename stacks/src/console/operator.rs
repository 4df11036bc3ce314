//! Requests to the services with the tokens of `.env`, which stay in this process.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::{Method, Url};
use serde_json::Value;
use uuid::Uuid;

use crate::{http, stack::Places};

/// The mailer reads the parking queue and moves messages, which takes longer than a probe.
const MAX_CHANGE: Duration = Duration::from_secs(90);

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Gateway,
    Payment,
    Mailer,
}

impl Service {
    /// The service with a simulation that has this name.
    pub(super) fn simulated(name: &str) -> Option<Self> {
        match name {
            "payment" => Some(Self::Payment),
            "mailer" => Some(Self::Mailer),
            _ => None,
        }
    }

    /// Its URL, and the name of the secret that holds its token.
    fn place(self, places: &Places) -> (String, &'static str) {
        match self {
            Self::Gateway => (places.local.gateway_url(), "ALERTS_TOKEN"),
            Self::Payment => (places.local.payment_url(), "PAYMENT_TOKEN"),
            Self::Mailer => (places.local.mailer_url(), "MAILER_TOKEN"),
        }
    }
}

/// Reads from a service. The console asks again and again: its questions leave no spans.
pub(super) async fn read(places: &Places, service: Service, path: &[&str]) -> Result<Value> {
    ask(places, service, Method::GET, path, None).await
}

/// Asks a service; all but `GET` may take as long as a change does.
pub(super) async fn ask(
    places: &Places,
    service: Service,
    method: Method,
    path: &[&str],
    body: Option<&Value>,
) -> Result<Value> {
    let (base, token) = service.place(places);
    let mut url: Url = base.parse().with_context(|| format!("cannot use {base} as a URL"))?;
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.extend(path);
    }
    let mut request = places.client.request(method.clone(), url).bearer_auth(places.secret(token)?);
    if method == Method::GET {
        request = request.header("traceparent", unsampled());
    } else {
        request = request.timeout(MAX_CHANGE);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let response = match request.send().await {
        Err(error) => bail!("cannot ask {base}: it {}", http::brief(&error)),
        Ok(response) => response,
    };
    let status = response.status();
    let text = response.text().await.unwrap_or_default();
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if !status.is_success() {
        let detail = answer["detail"].as_str().unwrap_or(text.trim());
        bail!("cannot ask {base}: it answered {status}: {detail}");
    }
    Ok(answer)
}

/// The `traceparent` of a trace that is not recorded.
pub(super) fn unsampled() -> String {
    let (trace, span) = (Uuid::new_v4().simple().to_string(), Uuid::new_v4().simple().to_string());
    format!("00-{trace}-{}-00", &span[..16])
}
