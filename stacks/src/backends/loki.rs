//! Loki's query API, for log lines received over OTLP: ids and fields are structured metadata.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;
use time::OffsetDateTime;

use super::{
    Logged, Logs,
    asker::Asker,
    lines::{Query, Which, dotted},
    questions::Asked,
};
use crate::logs::Line;

/// Traces of one query: their lines are fewer than an answer may have, and the query is short enough.
const MAX_TRACES: usize = 100;

/// A client of one Loki.
pub struct Loki(Asker);

impl Loki {
    /// A client of the server at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self(Asker::new(client, url))
    }

    /// The lines that a LogQL expression selects.
    ///
    /// # Errors
    /// When Loki does not answer as documented.
    pub async fn query(&self, expression: &str) -> Result<Vec<Logged>> {
        Ok(self.streams(&Asked::lines(expression)).await?.into_iter().flat_map(Stream::lines).collect())
    }

    async fn streams(&self, asked: &Asked) -> Result<Vec<Stream>> {
        let answer = self.0.ask_ok(asked).await?;
        let answer: Answer = answer.json().await.context("cannot read Loki's answer")?;
        Ok(answer.data.result)
    }
}

#[async_trait]
impl Logs for Loki {
    async fn lines(&self, traces: &[&str]) -> Result<Vec<Logged>> {
        let mut lines = Vec::new();
        for some in traces.chunks(MAX_TRACES) {
            lines.extend(Self::query(self, &of_traces(some)).await?);
        }
        Ok(lines)
    }

    async fn find(&self, which: &Which) -> Result<Vec<Line>> {
        let asked = match which {
            Which::Since(time) => Asked::lines_since(&expression(which), *time),
            _ => Asked::lines(&expression(which)),
        };
        Ok(self.streams(&asked).await?.into_iter().flat_map(Stream::in_full).collect())
    }

    fn query(&self, which: &Which) -> Query {
        Query::new("LogQL", expression(which))
    }
}

/// The LogQL expression for these lines.
fn expression(which: &Which) -> String {
    let with = |condition: String| format!("{{service_name=~\".+\"}} | {condition}");
    match which {
        Which::Order(id) => with(format!("order_id=\"{id}\"")),
        Which::Message(id) => with(format!("messaging_message_id=\"{id}\"")),
        Which::Traces(ids) => of_traces(&ids.iter().map(String::as_str).collect::<Vec<_>>()),
        Which::Since(_) => "{service_name=~\".+\"}".to_owned(),
    }
}

/// The LogQL expression for all lines of these traces.
pub(crate) fn of_traces(traces: &[&str]) -> String {
    format!("{{service_name=~\".+\"}} | trace_id=~\"{}\"", traces.join("|"))
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    result: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    /// Index labels and structured metadata alike.
    stream: BTreeMap<String, String>,
    /// Time and text of each line.
    values: Vec<(String, String)>,
}

impl Stream {
    fn lines(self) -> impl Iterator<Item = Logged> {
        let label = |name: &str| self.stream.get(name).cloned();
        let line = Logged {
            trace: label("trace_id").unwrap_or_default(),
            service: label("service_name").unwrap_or_default(),
            order: label("order_id"),
        };
        std::iter::repeat_n(line, self.values.len())
    }

    fn in_full(self) -> impl Iterator<Item = Line> {
        let service = self.stream.get("service_name").cloned().unwrap_or_default();
        let mut fields: serde_json::Map<String, serde_json::Value> =
            self.stream.into_iter().map(|(name, value)| (dotted(&name).to_owned(), value.into())).collect();
        if let Some(level) = fields.get("severity_text").cloned() {
            fields.insert("log.level".to_owned(), level);
        }
        self.values.into_iter().map(move |(time, message)| {
            let nanoseconds = time.parse().ok();
            let time = nanoseconds.and_then(|time| OffsetDateTime::from_unix_timestamp_nanos(time).ok());
            Line { time, service: service.clone(), message, fields: fields.clone() }
        })
    }
}
