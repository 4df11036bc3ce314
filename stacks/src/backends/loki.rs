//! Loki's query API, for log lines received over OTLP: ids and fields are structured metadata.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;

use super::{Logged, Logs, asker::Asker, questions::Asked};

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
        let answer = self.0.ask_ok(&Asked::lines(expression)).await?;
        let answer: Answer = answer.json().await.context("cannot read Loki's answer")?;
        Ok(answer.data.result.into_iter().flat_map(Stream::lines).collect())
    }
}

#[async_trait]
impl Logs for Loki {
    async fn lines(&self, traces: &[&str]) -> Result<Vec<Logged>> {
        let mut lines = Vec::new();
        for some in traces.chunks(MAX_TRACES) {
            lines.extend(self.query(&of_traces(some)).await?);
        }
        Ok(lines)
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
}
