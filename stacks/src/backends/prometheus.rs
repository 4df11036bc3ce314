//! Prometheus' query API; Mimir has it below `/prometheus`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use reqwest::Client;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Metrics, Series, Total, asker::Asker, questions::Asked};

/// A client of one Prometheus or Mimir.
pub struct Prometheus(Asker);

impl Prometheus {
    /// A client of the API below `{url}/api/v1`.
    pub fn new(client: Client, url: impl Into<String>) -> Self {
        Self(Asker::new(client, url))
    }

    /// True if an expression selects a series now.
    pub(crate) async fn answers(&self, expression: &str) -> Result<bool> {
        Ok(self.value(expression.to_owned()).await?.is_some())
    }

    /// The series that an expression selects now: labels and value.
    pub(crate) async fn series(&self, expression: String) -> Result<Vec<(Value, String)>> {
        let Vector { result } = self.query(&Asked::series(&expression)).await?;
        Ok(result.into_iter().map(|Selected { metric, value: (_, value) }| (metric, value)).collect())
    }

    /// The first value of an expression; none if it selects nothing.
    async fn value(&self, expression: String) -> Result<Option<f64>> {
        let Some((_, value)) = self.series(expression).await?.into_iter().next() else { return Ok(None) };
        Ok(Some(value.parse().with_context(|| format!("{value} is no number"))?))
    }

    async fn query<T: DeserializeOwned>(&self, asked: &Asked) -> Result<T> {
        let response = self.0.ask(asked).await?;
        let status = response.status();
        // Errors come in the same document, with another status.
        let answer: Answer<T> = response
            .json()
            .await
            .with_context(|| format!("cannot read the answer of Prometheus at {}, {status}", self.0.url))?;
        match answer {
            Answer::Success { data } => Ok(data),
            Answer::Error { error } => {
                bail!("cannot ask Prometheus at {}: it answered {status}: {error}", self.0.url)
            }
        }
    }
}

#[async_trait]
impl Metrics for Prometheus {
    async fn total(&self, counter: &Series) -> Result<Total> {
        let selector = selector(counter, "");
        let nothing =
            || format!("Prometheus at {} has no metric {counter} of {}", self.0.url, counter.service);
        // The time first: a scrape in between makes the value newer than the time, never older.
        let at = self.value(format!("min(timestamp({selector}))")).await?.with_context(nothing)?;
        let value = self.value(format!("sum({selector})")).await?.with_context(nothing)?;
        let at = Duration::try_from_secs_f64(at).with_context(|| format!("{at} is no time"))?;
        Ok(Total { value, at: SystemTime::UNIX_EPOCH + at })
    }

    async fn exemplars(&self, histogram: &Series) -> Result<BTreeSet<String>> {
        let asked = Asked::exemplars(&selector(histogram, "_bucket"));
        let series: Vec<Exemplars> = self.query(&asked).await?;
        let exemplars = series.into_iter().flat_map(|series| series.exemplars);
        Ok(exemplars.filter_map(|mut exemplar| exemplar.labels.remove("trace_id")).collect())
    }
}

/// The PromQL selector of a series.
pub(crate) fn selector(series: &Series, suffix: &str) -> String {
    let labels = [("job", series.service)].into_iter().chain(series.labels.iter().copied());
    let labels: Vec<String> = labels.map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    format!("{}{suffix}{{{}}}", series.name, labels.join(","))
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Answer<T> {
    Success { data: T },
    Error { error: String },
}

#[derive(Deserialize)]
struct Vector {
    result: Vec<Selected>,
}

#[derive(Deserialize)]
struct Selected {
    #[serde(default)]
    metric: Value,
    /// Seconds since the epoch, and the value as text.
    value: (f64, String),
}

#[derive(Deserialize)]
struct Exemplars {
    exemplars: Vec<Exemplar>,
}

#[derive(Deserialize)]
struct Exemplar {
    labels: BTreeMap<String, String>,
}
