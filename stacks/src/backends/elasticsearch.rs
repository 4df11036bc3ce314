//! Elasticsearch's search, for log lines from Logstash and spans from APM Server. The search returns flat fields, whose
//! values are lists in every document.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Logged, Logs, Traces,
    asker::Asker,
    lines::{Query, Which},
    questions::Asked,
    valid_trace_id,
};
use crate::{
    http,
    logs::Line,
    trace::{Span, Trace},
};

/// Traces of one search: their lines are fewer than a search returns.
const MAX_TRACES: usize = 500;
/// The documents of log lines, and the fields of them that are read.
pub(crate) const LINES: (&str, &[&str]) = ("logs-omnitrace-*", &["trace.id", "service.name", "order.id"]);
/// The fields of a log line in full.
pub(crate) const IN_FULL: &[&str] = &[
    "@timestamp",
    "message",
    "log.level",
    "service.name",
    "trace.id",
    "span.id",
    "alert.*",
    "dead_letters.*",
    "email.*",
    "error.*",
    "event.*",
    "http.*",
    "messaging.*",
    "omnitrace.*",
    "order.*",
    "payment.*",
    "rule.name",
];
/// The documents of spans, and the fields of them that are read.
pub(crate) const SPANS: (&str, &[&str]) = (
    "traces-apm*",
    &[
        "processor.event",
        "service.name",
        "parent.id",
        "transaction.*",
        "span.*",
        "event.outcome",
        "timestamp.us",
        "labels.*",
        "numeric_labels.*",
    ],
);

/// A client of one Elasticsearch.
#[derive(Clone)]
pub struct Elasticsearch(Asker);

impl Elasticsearch {
    /// A client of the server at `url`, for this user.
    pub fn new(client: Client, url: impl Into<String>, user: &str, password: &str) -> Self {
        Self(Asker::new(client, url).with_login(user, password))
    }

    async fn search(&self, indices: &str, traces: &[&str], fields: &[&str]) -> Result<Vec<Hit>> {
        self.hits(indices, &Asked::documents(indices, traces, fields)).await
    }

    async fn hits(&self, indices: &str, asked: &Asked) -> Result<Vec<Hit>> {
        let answer = self.0.ask_ok(asked).await?;
        let answer: Answer = answer.json().await.context("cannot read Elasticsearch's answer")?;
        let failed = answer.shards.failed;
        ensure!(
            failed == 0 && !answer.timed_out,
            "cannot search {indices}: {failed} shards failed, timed out: {}",
            answer.timed_out
        );
        Ok(answer.hits.hits)
    }
}

#[async_trait]
impl Logs for Elasticsearch {
    async fn lines(&self, traces: &[&str]) -> Result<Vec<Logged>> {
        let mut lines = Vec::new();
        for some in traces.chunks(MAX_TRACES) {
            let hits = self.search(LINES.0, some, LINES.1).await?;
            lines.extend(hits.into_iter().map(|hit| Logged {
                trace: hit.text("trace.id").unwrap_or_default(),
                service: hit.text("service.name").unwrap_or_default(),
                order: hit.text("order.id"),
            }));
        }
        Ok(lines)
    }

    async fn find(&self, which: &Which) -> Result<Vec<Line>> {
        let found = Asked::found(LINES.0, &documents(which), IN_FULL);
        Ok(self.hits(LINES.0, &found).await?.into_iter().map(Hit::line).collect())
    }

    fn query(&self, which: &Which) -> Query {
        let text = match which {
            Which::Order(id) => format!("order.id : \"{id}\""),
            Which::Message(id) => format!("messaging.message.id : \"{id}\""),
            Which::Traces(ids) => {
                let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
                format!("trace.id : ({})", quoted.join(" or "))
            }
            Which::Since(_) => "service.name : *".to_owned(),
        };
        Query::new("KQL", text)
    }
}

/// The query for these lines.
fn documents(which: &Which) -> Value {
    match which {
        Which::Order(id) => json!({"term": {"order.id": id}}),
        Which::Message(id) => json!({"term": {"messaging.message.id": id}}),
        Which::Traces(ids) => json!({"terms": {"trace.id": ids}}),
        Which::Since(time) => {
            let milliseconds = time.unix_timestamp_nanos() / 1_000_000;
            json!({"range": {"@timestamp": {"gte": milliseconds as i64, "format": "epoch_millis"}}})
        }
    }
}

#[async_trait]
impl Traces for Elasticsearch {
    async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let id = valid_trace_id(id)?;
        let hits = self.search(SPANS.0, &[id.as_str()], SPANS.1).await?;
        let mut spans: Vec<Span> = hits.iter().filter_map(Hit::span).collect();
        spans.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        Ok((!spans.is_empty()).then_some(Trace { id, spans }))
    }

    fn query(&self, id: &str) -> Query {
        Query::new("KQL", format!("trace.id : \"{id}\""))
    }

    // APM Server turns attributes into fields of its own.
    fn keeps_attributes(&self) -> bool {
        false
    }
}

#[derive(Deserialize)]
struct Answer {
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(default)]
    fields: BTreeMap<String, Vec<Value>>,
}

impl Hit {
    fn text(&self, name: &str) -> Option<String> {
        self.fields.get(name)?.first().map(http::plain)
    }

    fn microseconds(&self, name: &str) -> Duration {
        let value = self.fields.get(name).and_then(|values| values.first()?.as_u64());
        Duration::from_micros(value.unwrap_or_default())
    }

    fn line(self) -> Line {
        let time = self.text("@timestamp").and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok());
        let (service, message) = (self.text("service.name"), self.text("message"));
        let is_own = |name: &str| !["@timestamp", "message", "service.name"].contains(&name);
        let fields = self.fields.into_iter().filter(|(name, _)| is_own(name));
        let fields = fields.filter_map(|(name, values)| Some((name, values.into_iter().next()?)));
        Line {
            time,
            service: service.unwrap_or_default(),
            message: message.unwrap_or_default(),
            fields: fields.collect(),
        }
    }

    /// A span; APM Server stores one with a remote parent, or none, as a transaction.
    fn span(&self) -> Option<Span> {
        let event = self.text("processor.event")?;
        let of_event = |name: &str| format!("{event}.{name}");
        let kind = kind(&event, self.text(&of_event("type")).as_deref()?);
        // APM Server stores numbers apart.
        let labels = self.fields.iter().filter_map(|(name, values)| {
            let name = name.strip_prefix("labels.").or_else(|| name.strip_prefix("numeric_labels."))?;
            Some((name.to_owned(), values.first()?.clone()))
        });
        Some(Span {
            id: self.text(&of_event("id"))?,
            parent: self.text("parent.id"),
            service: self.text("service.name")?,
            name: self.text(&of_event("name"))?,
            kind: kind.to_owned(),
            start: self.microseconds("timestamp.us"),
            duration: self.microseconds(&of_event("duration.us")),
            attributes: labels.collect(),
            error: (self.text("event.outcome").as_deref() == Some("failure")).then(String::new),
            ..Span::default()
        })
    }
}

/// The span kind, which APM Server does not store: derived from its event and type.
fn kind(event: &str, its_type: &str) -> &'static str {
    match (event, its_type) {
        ("transaction", "messaging") => "consumer",
        ("transaction", _) => "server",
        (_, "messaging") => "producer",
        (_, "app") => "internal",
        _ => "client",
    }
}
