//! What an order leaves behind, asked of whatever keeps it. Each module is one backend and answers the questions of
//! one or two of the traits below, so that a stack is a choice of modules, and a new backend one module more.

pub mod elasticsearch;
pub mod grafana;
pub mod jaeger;
pub mod local;
pub mod loki;
pub mod mailpit;
pub mod prometheus;
pub mod services;
pub mod stack;
pub mod tempo;

mod openmetrics;

use std::{collections::BTreeSet, fmt, time::SystemTime};

use anyhow::{Result, bail, ensure};
use async_trait::async_trait;
use reqwest::{RequestBuilder, Response};

use crate::{http, trace::Trace};

/// Characters of a server's own words that are repeated.
const LONGEST_REASON: usize = 300;

/// Who keeps traces.
#[async_trait]
pub trait Traces: Send + Sync {
    /// What is known of a trace by now; nothing while no span of it has arrived.
    async fn trace(&self, id: &str) -> Result<Option<Trace>>;
}

/// Who keeps log lines.
#[async_trait]
pub trait Logs: Send + Sync {
    /// The lines that carry one of these trace ids and have arrived by now.
    async fn lines(&self, traces: &[&str]) -> Result<Vec<Logged>>;
}

/// A log line, as far as a backend must know it to find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Which trace it belongs to.
    pub trace: String,
    /// Who wrote it.
    pub service: String,
    /// Which order it is about, if it says so.
    pub order: Option<String>,
}

/// Who keeps metrics.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// What a counter has come to, over all replicas.
    async fn total(&self, counter: &Series) -> Result<Total>;

    /// The trace ids of the exemplars that the buckets of a histogram have now.
    async fn exemplars(&self, histogram: &Series) -> Result<BTreeSet<String>>;
}

/// A counter or a histogram of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// `service.name`, which is also the scrape job.
    pub service: &'static str,
    /// Its name; that of a histogram is without `_bucket`.
    pub name: &'static str,
    /// Labels that tell it from others of this name.
    pub labels: &'static [(&'static str, &'static str)],
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.labels.iter().map(|(name, value)| format!("{name}=\"{value}\""));
        match self.labels {
            [] => f.pad(self.name),
            _ => f.pad(&format!("{}{{{}}}", self.name, labels.collect::<Vec<_>>().join(","))),
        }
    }
}

/// The value of a counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Total {
    /// What was counted.
    pub value: f64,
    /// When the service said so; what happened later is not in it.
    pub at: SystemTime,
}

/// Who keeps e-mails.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// How many e-mails about an order have arrived by now.
    async fn emails(&self, order: &str) -> Result<usize>;
}

/// The id as backends know it, in lower case.
fn valid_trace_id(id: &str) -> Result<String> {
    let valid = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(valid, "`{id}` is no trace id: those have 32 hexadecimal digits");
    Ok(id.to_ascii_lowercase())
}

/// Sends a question to a backend; its failures are told with the name and the place of the backend.
async fn ask(request: RequestBuilder, backend: &str, url: &str) -> Result<Response> {
    match request.send().await {
        Err(error) => bail!("{backend} at {url} {}", http::brief(&error)),
        Ok(response) => Ok(response),
    }
}

/// The same where anything but a 2xx is a failure.
async fn ask_well(request: RequestBuilder, backend: &str, url: &str) -> Result<Response> {
    let response = ask(request, backend, url).await?;
    let status = response.status();
    if !status.is_success() {
        let text = response.text().await.unwrap_or_default();
        bail!("{backend} at {url} answered {status}: {}", in_brief(&text));
    }
    Ok(response)
}

/// What a server says about a failure, on one line that is not too long.
fn in_brief(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() { "nothing more".into() } else { words.chars().take(LONGEST_REASON).collect() }
}
