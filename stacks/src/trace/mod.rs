//! A trace as the backend knows it: fetched from Jaeger's query API, which all trace backends of
//! ours speak or are translated to, and what the trace of an order must contain.

mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::http;

/// The spans of an order that went all the way: service, kind, name.
pub const ORDER: [(&str, &str, &str); 6] = [
    ("order-gateway", "server", "POST /create-order"),
    ("order-gateway", "client", "POST /process-payment"),
    ("payment-service", "server", "POST /process-payment"),
    ("payment-service", "producer", "publish checkout:payment.succeeded"),
    ("email-service", "consumer", "process checkout:payment.succeeded:mailer.payments"),
    ("email-service", "client", "send email"),
];

/// Everything that was recorded under one trace id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Its spans, in the order of their start.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// 16 hexadecimal digits.
    pub id: String,
    /// The span it is a child of; that one may be elsewhere or not have arrived yet.
    pub parent: Option<String>,
    /// The spans that it is linked to.
    pub links: Vec<String>,
    /// `service.name` of the process that recorded it.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: String,
    /// Since the Unix epoch.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// Its attributes, without those that the fields above carry.
    pub attributes: BTreeMap<String, Value>,
    /// The text of its error status, if it failed.
    pub error: Option<String>,
}

impl Trace {
    /// The trace as `jaeger` knows it now; none when it knows none of this id yet.
    pub async fn fetch(client: &Client, jaeger: &str, id: &str) -> Result<Option<Self>> {
        let valid = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        ensure!(valid, "`{id}` is no trace id: those have 32 hexadecimal digits");
        let request = client.get(format!("{jaeger}/api/traces/{}", id.to_ascii_lowercase()));
        let response = match request.send().await {
            Err(error) => {
                bail!("the trace backend at {jaeger} {}; is the stack up? `make up`", http::brief(&error))
            }
            Ok(response) => response,
        };
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => bail!("the trace backend at {jaeger} answered {status}; `make logs` may know why"),
        }
        let answer: Answer =
            response.json().await.context("the trace backend's answer is not Jaeger's JSON")?;
        Ok(answer.data.into_iter().next().map(Self::from))
    }

    /// The first span of this service, kind and name.
    pub fn find(&self, (service, kind, name): (&str, &str, &str)) -> Option<&Span> {
        self.spans.iter().find(|span| span.service == service && span.kind == kind && span.name == name)
    }

    /// Which spans of an [order](ORDER) are not there (yet).
    pub fn missing(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        ORDER.into_iter().filter(|named| self.find(*named).is_none()).collect()
    }

    /// The services that took part.
    pub fn services(&self) -> BTreeSet<&str> {
        self.spans.iter().map(|span| span.service.as_str()).collect()
    }

    /// When its first span starts.
    pub fn start(&self) -> Duration {
        self.spans.iter().map(|span| span.start).min().unwrap_or_default()
    }

    /// From the start of the first to the end of the last span.
    pub fn duration(&self) -> Duration {
        let end = self.spans.iter().map(|span| span.start + span.duration).max().unwrap_or_default();
        end.saturating_sub(self.start())
    }
}

/// Jaeger's own shape.
#[derive(Deserialize)]
struct Answer {
    data: Vec<JaegerTrace>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerTrace {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<JaegerSpan>,
    processes: BTreeMap<String, JaegerProcess>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerSpan {
    #[serde(rename = "spanID")]
    span_id: String,
    #[serde(rename = "processID")]
    process_id: String,
    operation_name: String,
    references: Option<Vec<Reference>>,
    /// Microseconds, as is the duration.
    start_time: u64,
    duration: u64,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Deserialize)]
struct Tag {
    key: String,
    value: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JaegerProcess {
    service_name: String,
}

impl From<JaegerTrace> for Trace {
    fn from(JaegerTrace { trace_id, spans, processes }: JaegerTrace) -> Self {
        let mut spans: Vec<Span> = spans.into_iter().map(|span| span.with(&processes)).collect();
        spans.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        Self { id: trace_id, spans }
    }
}

impl JaegerSpan {
    fn with(self, processes: &BTreeMap<String, JaegerProcess>) -> Span {
        let mut attributes: BTreeMap<String, Value> =
            self.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let mut text = |key: &str| attributes.remove(key).map(|value| http::plain(&value));
        let kind = text("span.kind").unwrap_or_else(|| "internal".into());
        let description = text("otel.status_description").unwrap_or_default();
        let failed = text("error").is_some_and(|error| error == "true");
        text("otel.status_code");
        let (parents, links): (Vec<_>, Vec<_>) = self
            .references
            .unwrap_or_default()
            .into_iter()
            .partition(|reference| reference.ref_type == "CHILD_OF");
        Span {
            id: self.span_id,
            parent: parents.into_iter().next().map(|reference| reference.span_id),
            links: links.into_iter().map(|reference| reference.span_id).collect(),
            service: processes
                .get(&self.process_id)
                .map_or_else(|| "unknown".into(), |process| process.service_name.clone()),
            name: self.operation_name,
            kind,
            start: Duration::from_micros(self.start_time),
            duration: Duration::from_micros(self.duration),
            attributes,
            error: failed.then_some(description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jaegers_json_becomes_spans_with_kind_parent_and_status() {
        let json = r#"{"data":[{"traceID":"aa","processes":{"p1":{"serviceName":"order-gateway","tags":[]}},"spans":[
            {"traceID":"aa","spanID":"2","processID":"p1","operationName":"POST /process-payment","startTime":1500,"duration":20,
             "references":[{"refType":"FOLLOWS_FROM","traceID":"aa","spanID":"9"},{"refType":"CHILD_OF","traceID":"aa","spanID":"1"}],
             "tags":[{"key":"span.kind","type":"string","value":"client"},{"key":"error","type":"bool","value":true},
                     {"key":"otel.status_description","type":"string","value":"timed out"},
                     {"key":"http.response.status_code","type":"int64","value":504}]},
            {"traceID":"aa","spanID":"1","processID":"p1","operationName":"POST /create-order","startTime":1000,"duration":900,
             "references":null,"tags":[{"key":"span.kind","type":"string","value":"server"}]}]}],"total":1}"#;
        let answer: Answer = serde_json::from_str(json).unwrap();
        let trace = Trace::from(answer.data.into_iter().next().unwrap());

        assert_eq!(trace.duration(), Duration::from_micros(900));
        assert_eq!(trace.missing(), &ORDER[2..]);
        assert_eq!(trace.find(ORDER[0]).unwrap().parent, None);
        let client = trace.find(ORDER[1]).unwrap();
        assert_eq!(client.parent.as_deref(), Some("1"));
        assert_eq!(client.error.as_deref(), Some("timed out"));
        assert_eq!(client.attributes.keys().collect::<Vec<_>>(), ["http.response.status_code"]);
    }
}
