//! Clients of the servers that store telemetry and e-mails. Each module is one server and implements one or two of the
//! traits below; a stack is a choice of modules.

pub mod elasticsearch;
pub mod embedded;
pub mod files;
pub mod grafana;
pub mod jaeger;
pub mod lines;
pub mod loki;
pub mod mailpit;
pub mod prometheus;
pub mod services;
pub mod tempo;

pub(crate) mod asker;
pub(crate) mod openmetrics;
pub(crate) mod questions;

mod otlp;

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use async_trait::async_trait;

use self::lines::{Query, Which};
use crate::{logs::Line, trace::Trace};

/// Time between two queries for a trace.
const PAUSE: Duration = Duration::from_millis(100);

/// A store of traces.
#[async_trait]
pub trait Traces: Send + Sync {
    /// The trace with this id; none before a span of it has arrived.
    ///
    /// # Errors
    /// When the server does not answer as documented.
    async fn trace(&self, id: &str) -> Result<Option<Trace>>;

    /// The question that finds a trace, for people.
    fn query(&self, id: &str) -> Query;

    /// True if a span has the attributes with which it was sent, and no others.
    fn keeps_attributes(&self) -> bool {
        true
    }
}

/// The trace of an order once it has every span, or as it is after `within`.
pub(crate) async fn whole_trace(
    traces: &dyn Traces,
    id: &str,
    within: Duration,
    mut waiting: impl FnMut(usize),
) -> Result<Trace> {
    let deadline = Instant::now() + within;
    loop {
        let trace = traces.trace(id).await?.unwrap_or_else(|| Trace { id: id.into(), ..Trace::default() });
        let missing = trace.missing().len();
        if missing == 0 || Instant::now() > deadline {
            return Ok(trace);
        }
        waiting(missing);
        tokio::time::sleep(PAUSE).await;
    }
}

/// A store of log lines.
#[async_trait]
pub trait Logs: Send + Sync {
    /// The lines with one of these trace ids.
    ///
    /// # Errors
    /// When the server does not answer as documented.
    async fn lines(&self, traces: &[&str]) -> Result<Vec<Logged>>;

    /// Lines in full, in no order.
    ///
    /// # Errors
    /// When the server does not answer as documented.
    async fn find(&self, which: &Which) -> Result<Vec<Line>>;

    /// The question that finds them, for people.
    fn query(&self, which: &Which) -> Query;

    /// True if [`find`](Self::find) returns lines as they were written, with the types of all values.
    fn keeps_lines(&self) -> bool {
        false
    }
}

/// The ids of a log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The trace id.
    pub trace: String,
    /// The service.
    pub service: String,
    /// The order id, if the line has one.
    pub order: Option<String>,
}

/// A store of metrics.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// The sum of a counter over all replicas.
    ///
    /// # Errors
    /// When the server does not answer as documented, or has no such counter.
    async fn total(&self, counter: &Series) -> Result<Total>;

    /// The trace ids of a histogram's exemplars.
    ///
    /// # Errors
    /// When the server does not answer as documented.
    async fn exemplars(&self, histogram: &Series) -> Result<BTreeSet<String>>;
}

/// A counter or a histogram of one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// `service.name`, which is also the scrape job.
    pub service: &'static str,
    /// The name; that of a histogram without `_bucket`.
    pub name: &'static str,
    /// The labels that select the series.
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
    /// The sum.
    pub value: f64,
    /// When the service was scraped; later events are not counted.
    pub at: SystemTime,
}

/// A store of e-mails.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// The number of e-mails about an order.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn emails(&self, order: &str) -> Result<usize>;

    /// An e-mail about an order; none if there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn email(&self, order: &str) -> Result<Option<Email>>;

    /// The question that finds it, for people.
    fn query(&self, order: &str) -> Query;
}

/// An e-mail as it was delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Email {
    /// The Message-ID, without angle brackets.
    pub message_id: String,
    /// The sender.
    pub from: String,
    /// The recipients.
    pub to: String,
    /// The subject.
    pub subject: String,
    /// The date in its header, or at which it was received.
    pub date: String,
    /// The text.
    pub text: String,
    /// The id by which the store's own page shows it; none without a page.
    pub page: Option<String>,
    /// The number of e-mails about the order.
    pub count: usize,
}

/// The trace id in lower case.
fn valid_trace_id(id: &str) -> Result<String> {
    let valid = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(valid, "`{id}` is no trace id: those have 32 hexadecimal digits");
    Ok(id.to_ascii_lowercase())
}
