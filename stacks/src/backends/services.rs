//! The services' own `/metrics`, for stacks without a store of metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::SystemTime,
};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use reqwest::Client;

use super::{
    Metrics, Series, Total,
    asker::Asker,
    openmetrics::{Sample, samples},
    questions::{Asked, Question},
};

/// A client of the services.
pub struct Services {
    client: Client,
    urls: BTreeMap<&'static str, String>,
}

impl Services {
    /// A client of the services at these URLs, by `service.name`.
    pub fn new(client: Client, urls: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self { client, urls: urls.into_iter().collect() }
    }

    /// `/metrics` of a service.
    pub(crate) async fn page(&self, service: &str) -> Result<String> {
        let url = self.urls.get(service).with_context(|| format!("cannot find the URL of {service}"))?;
        let asker = Asker::new(self.client.clone(), url);
        let response = asker.ask_ok(&Asked::plain(Question::ServiceMetrics)).await?;
        response.text().await.with_context(|| format!("cannot read the metrics of {service}"))
    }
}

#[async_trait]
impl Metrics for Services {
    async fn total(&self, counter: &Series) -> Result<Total> {
        let at = SystemTime::now();
        let page = self.page(counter.service).await?;
        let values: Vec<f64> =
            samples(&page).filter(|sample| is_of(sample, counter, "")).map(|sample| sample.value).collect();
        ensure!(!values.is_empty(), "{} has no metric {counter}", counter.service);
        Ok(Total { value: values.iter().sum(), at })
    }

    async fn exemplars(&self, histogram: &Series) -> Result<BTreeSet<String>> {
        let page = self.page(histogram.service).await?;
        let buckets = samples(&page).filter(|sample| is_of(sample, histogram, "_bucket"));
        Ok(buckets.filter_map(|sample| Some((*sample.exemplar.get("trace_id")?).to_owned())).collect())
    }
}

fn is_of(sample: &Sample<'_>, series: &Series, suffix: &str) -> bool {
    sample.name.strip_suffix(suffix) == Some(series.name)
        && series.labels.iter().all(|(name, value)| sample.labels.get(name) == Some(value))
}
