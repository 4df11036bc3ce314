//! HTTP clients for servers on this machine.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Client, ClientBuilder, StatusCode};
use serde_json::Value;

/// A client without a proxy and with a short timeout: all servers are on loopback.
///
/// # Errors
/// When no client can be made.
pub fn client() -> Result<Client> {
    build(Client::builder().timeout(Duration::from_secs(5)))
}

/// A client whose user agent marks its requests as synthetic, and names the command.
pub(crate) fn synthetic_client(command: &str) -> Result<Client> {
    let agent = format!("omnitrace-{command}/{} (synthetic)", env!("CARGO_PKG_VERSION"));
    build(Client::builder().timeout(Duration::from_secs(15)).user_agent(agent))
}

fn build(client: ClientBuilder) -> Result<Client> {
    client.no_proxy().build().context("cannot make an HTTP client")
}

/// Ok if a probe such as `/readyz` answers 200, otherwise the reason in a few words.
pub async fn probe(client: &Client, url: &str) -> Result<(), String> {
    let response = client.get(url).send().await.map_err(|error| brief(&error))?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let body = response.text().await.unwrap_or_default();
    Err(reason(&body).unwrap_or_else(|| status.to_string()))
}

/// The failure of a request in a few words, as the end of a sentence about the server, without the URL.
pub fn brief(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        "does not answer in time".into()
    } else if error.is_connect() {
        "does not accept connections".into()
    } else {
        std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
    }
}

/// The reason in a readiness or problem document: `broker: not connected, …`.
fn reason(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    for key in ["detail", "reason", "title"] {
        if let Some(text) = body.get(key).and_then(Value::as_str) {
            return Some(text.to_owned());
        }
    }
    let parts: Vec<String> =
        body.as_object()?.iter().map(|(key, value)| format!("{key}: {}", plain(value))).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A JSON value as text: strings without quotes.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_document_is_one_line() {
        let problem = r#"{"type":"about:blank","title":"Not ready","detail":"the broker is away"}"#;
        assert_eq!(reason(problem).unwrap(), "the broker is away");
        let checks = r#"{"broker":"not connected","ledger":"ok"}"#;
        assert_eq!(reason(checks).unwrap(), "broker: not connected, ledger: ok");
        assert_eq!(reason("busy"), None);
    }
}
