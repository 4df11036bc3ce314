//! The query API of the local stack's trace backend (`otlp-embedded`): Jaeger's internal JSON.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail};
use async_trait::async_trait;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Traces,
    asker::Asker,
    lines::Query,
    questions::{Asked, Question},
    valid_trace_id,
};
use crate::{
    http,
    trace::{Span, Trace},
};

/// A client of one embedded trace backend.
#[derive(Clone, Debug)]
pub struct EmbeddedJaeger(Asker);

impl EmbeddedJaeger {
    /// A client of the query API at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self(Asker::new(client, url))
    }
}

#[async_trait]
impl Traces for EmbeddedJaeger {
    async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let asked = Asked::trace(Question::EmbeddedTrace, &valid_trace_id(id)?);
        let response =
            self.0.ask(&asked).await.map_err(|error| anyhow!("{error}; `make up` starts the stack"))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => bail!("cannot ask the trace backend at {}: it answered {status}", self.0.url),
        }
        let answer: Answer =
            response.json().await.context("cannot read the trace backend's answer as Jaeger's JSON")?;
        Ok(answer.data.into_iter().next().map(Trace::from))
    }

    fn query(&self, id: &str) -> Query {
        Query::new("shell", format!("make trace TRACE={id}"))
    }
}

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
    #[serde(rename = "traceID")]
    trace_id: String,
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
        let mut spans: Vec<Span> = spans.into_iter().map(|span| span.read(&trace_id, &processes)).collect();
        spans.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        Self { id: trace_id, spans }
    }
}

impl JaegerSpan {
    fn read(self, trace_id: &str, processes: &BTreeMap<String, JaegerProcess>) -> Span {
        let mut attributes: BTreeMap<String, Value> =
            self.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let mut text = |key: &str| attributes.remove(key).map(|value| http::plain(&value));
        let kind = text("span.kind").unwrap_or_else(|| "internal".into());
        let description = text("otel.status_description").unwrap_or_default();
        let failed = text("error").is_some_and(|error| error == "true");
        text("otel.status_code");
        let references = self.references.unwrap_or_default();
        let is_child = |reference: &&Reference| reference.ref_type == "CHILD_OF";
        let mut within = references.iter().filter(|reference| reference.trace_id == trace_id);
        // A span with the same parent and link has one reference, of either type.
        let parent = within.clone().find(is_child).or_else(|| within.next());
        Span {
            id: self.span_id,
            parent: parent.map(|reference| reference.span_id.clone()),
            links: references
                .iter()
                .filter(|reference| !is_child(reference))
                .map(|link| link.span_id.clone())
                .collect(),
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
    use crate::trace::ORDER;

    #[test]
    fn internal_json_becomes_spans_with_kind_parent_and_status() {
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
