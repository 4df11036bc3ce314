//! Loki's query API, for log lines received over OTLP: ids and fields are structured metadata.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use reqwest::Client;
use serde::Deserialize;

use super::{Logged, Logs, ask_ok};

/// The age of the oldest lines that are asked for.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
/// Traces of one query: their lines are fewer than [`MAX_LINES`], and the query is short enough.
const MAX_TRACES: usize = 100;
/// Lines of one answer: Loki's own default limit.
const MAX_LINES: usize = 5000;

/// A client of one Loki.
pub struct Loki {
    client: Client,
    url: String,
}

impl Loki {
    /// A client of the server at `url`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self { client, url: url.into() }
    }

    /// The lines that a LogQL expression selects.
    ///
    /// # Errors
    /// When Loki does not answer as documented.
    pub async fn query(&self, expression: &str) -> Result<Vec<Logged>> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let form = [
            ("query", expression.to_owned()),
            ("start", now.saturating_sub(MAX_AGE).as_nanos().to_string()),
            // A minute for services whose clock is ahead.
            ("end", (now + Duration::from_secs(60)).as_nanos().to_string()),
            ("limit", MAX_LINES.to_string()),
        ];
        let request = self.client.post(format!("{}/loki/api/v1/query_range", self.url)).form(&form);
        let answer: Answer =
            ask_ok(request, "Loki", &self.url).await?.json().await.context("cannot read Loki's answer")?;
        Ok(answer.data.result.into_iter().flat_map(Stream::lines).collect())
    }
}

#[async_trait]
impl Logs for Loki {
    async fn lines(&self, traces: &[&str]) -> Result<Vec<Logged>> {
        let mut lines = Vec::new();
        for some in traces.chunks(MAX_TRACES) {
            let query = format!("{{service_name=~\".+\"}} | trace_id=~\"{}\"", some.join("|"));
            lines.extend(self.query(&query).await?);
        }
        Ok(lines)
    }
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
