//! OTLP in JSON, as Tempo and Jaeger return traces: Tempo writes ids in base64 and enums by name, Jaeger ids in hexadecimal
//! digits and enums by number.

use std::{collections::BTreeMap, time::Duration};

use data_encoding::{BASE64, HEXLOWER};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::plain,
    trace::{Span, Trace},
};

/// The spans of a trace, by resource.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OtlpTrace {
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

/// Ids and times are texts; times are nanoseconds since the epoch.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OtlpSpan {
    span_id: String,
    #[serde(default)]
    parent_span_id: String,
    name: String,
    #[serde(default)]
    kind: Value,
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
    code: Value,
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

impl OtlpTrace {
    /// The trace; none without spans.
    pub(super) fn into_trace(self, id: String) -> Option<Trace> {
        let mut spans: Vec<Span> = self.resource_spans.into_iter().flat_map(ResourceSpans::spans).collect();
        spans.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        (!spans.is_empty()).then_some(Trace { id, spans })
    }
}

impl ResourceSpans {
    fn spans(self) -> impl Iterator<Item = Span> {
        let name = self.resource.attributes.into_iter().find(|attribute| attribute.key == "service.name");
        let service = name.map(|name| plain(&name.entry().1));
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
            kind: kind(&span.kind),
            start,
            duration: end.saturating_sub(start),
            attributes: span.attributes.into_iter().map(Attribute::entry).collect(),
            error: ["STATUS_CODE_ERROR", "2"]
                .contains(&&*plain(&span.status.code))
                .then_some(span.status.message),
            ..Self::default()
        }
    }
}

fn kind(kind: &Value) -> String {
    let by_number = ["unspecified", "internal", "server", "client", "producer", "consumer"];
    match kind.as_u64().and_then(|number| by_number.get(number as usize)) {
        Some(name) => (*name).to_owned(),
        None => plain(kind).trim_start_matches("SPAN_KIND_").to_ascii_lowercase(),
    }
}

/// An id in hexadecimal digits. In base64 a span id has 12 characters instead of 16.
fn hex(id: &str) -> String {
    match BASE64.decode(id.as_bytes()) {
        Ok(bytes) if id.len() != 16 => HEXLOWER.encode(&bytes),
        _ => id.to_owned(),
    }
}
