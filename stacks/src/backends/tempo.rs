//! Tempo's query API: a trace by its id, as OTLP JSON.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use data_encoding::{BASE64, HEXLOWER};
use reqwest::{Client, StatusCode, header::ACCEPT};
use serde::Deserialize;
use serde_json::Value;

use super::{Traces, ask, in_brief, valid_trace_id};
use crate::trace::{Span, Trace};

/// A client of one Tempo.
pub struct Tempo {
    client: Client,
    url: String,
}

impl Tempo {
    /// A client of the server at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }
}

#[async_trait]
impl Traces for Tempo {
    async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let id = valid_trace_id(id)?;
        let request = self.client.get(format!("{}/api/v2/traces/{id}", self.url));
        let response = ask(request.header(ACCEPT, "application/json"), "Tempo", &self.url).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => {
                let text = response.text().await.unwrap_or_default();
                bail!("cannot ask Tempo at {}: it answered {status}: {}", self.url, in_brief(&text));
            }
        }
        let answer: Answer = response.json().await.context("cannot read Tempo's answer")?;
        let mut spans: Vec<Span> =
            answer.trace.resource_spans.into_iter().flat_map(ResourceSpans::spans).collect();
        spans.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        Ok((!spans.is_empty()).then_some(Trace { id, spans }))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    trace: OtlpTrace,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OtlpTrace {
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    #[serde(default)]
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Default, Deserialize)]
struct Resource {
    #[serde(default)]
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct ScopeSpans {
    spans: Vec<OtlpSpan>,
}

/// Ids are base64, times nanoseconds since the epoch, both as texts.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OtlpSpan {
    span_id: String,
    #[serde(default)]
    parent_span_id: String,
    name: String,
    #[serde(default)]
    kind: String,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    #[serde(default)]
    attributes: Vec<Attribute>,
    #[serde(default)]
    links: Vec<Link>,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    span_id: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    #[serde(default)]
    value: BTreeMap<String, Value>,
}

impl Attribute {
    /// The key and the value: `{"stringValue": "x"}` is `"x"`; numbers are texts in this format.
    fn entry(self) -> (String, Value) {
        (self.key, self.value.into_values().next().unwrap_or_default())
    }
}

impl ResourceSpans {
    fn spans(self) -> impl Iterator<Item = Span> {
        let name = self.resource.attributes.into_iter().find(|attribute| attribute.key == "service.name");
        let service = name.map(|name| crate::http::plain(&name.entry().1));
        let service = service.unwrap_or_else(|| "unknown".into());
        self.scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
            .map(move |span| Span { service: service.clone(), ..span.into() })
    }
}

impl From<OtlpSpan> for Span {
    fn from(span: OtlpSpan) -> Self {
        let nanoseconds = |text: &str| Duration::from_nanos(text.parse().unwrap_or_default());
        let (start, end) = (nanoseconds(&span.start_time_unix_nano), nanoseconds(&span.end_time_unix_nano));
        Self {
            id: hex(&span.span_id),
            parent: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
            links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            name: span.name,
            kind: span.kind.trim_start_matches("SPAN_KIND_").to_ascii_lowercase(),
            start,
            duration: end.saturating_sub(start),
            attributes: span.attributes.into_iter().map(Attribute::entry).collect(),
            error: (span.status.code == "STATUS_CODE_ERROR").then_some(span.status.message),
            ..Self::default()
        }
    }
}

/// An id in hexadecimal digits; a text that is not base64 stays.
fn hex(id: &str) -> String {
    BASE64.decode(id.as_bytes()).map_or_else(|_| id.to_owned(), |bytes| HEXLOWER.encode(&bytes))
}
