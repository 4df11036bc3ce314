//! Grafana's API: its data sources, what they link to, and the backends behind them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::{
    Client,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;

use data_encoding::BASE64;

use super::{Traces, ask_well, jaeger::Jaeger, loki::Loki, prometheus::Prometheus, tempo::Tempo};

/// A Grafana.
pub struct Grafana {
    client: Client,
    url: String,
}

/// One of its data sources.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSource {
    /// What links name it by.
    pub uid: String,
    /// Which plugin it belongs to: `loki`, `tempo`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// What the plugin is told, its links among it.
    #[serde(default)]
    pub json_data: Value,
}

impl Grafana {
    /// The one at `url`, for its administrator.
    pub fn new(url: impl Into<String>, password: &str) -> Result<Self> {
        let login = format!("Basic {}", BASE64.encode(format!("admin:{password}").as_bytes()));
        let mut login = HeaderValue::from_str(&login).context("the password of Grafana makes no header")?;
        login.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, login)]);
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).default_headers(headers);
        Ok(Self { client: client.build().context("cannot make an HTTP client")?, url: url.into() })
    }

    /// All that there are.
    pub async fn data_sources(&self) -> Result<Vec<DataSource>> {
        let request = self.client.get(format!("{}/api/datasources", self.url));
        let response = ask_well(request, "Grafana", &self.url).await?;
        response.json().await.context("the answer is not Grafana's list of data sources")
    }

    /// The traces behind a data source, as Grafana would fetch them.
    pub fn traces(&self, source: &DataSource) -> Result<Box<dyn Traces>> {
        let (client, url) = (self.client.clone(), self.proxy(source));
        Ok(match source.kind.as_str() {
            "jaeger" => Box::new(Jaeger::new(client, url)),
            "tempo" => Box::new(Tempo::new(client, url)),
            other => bail!("the data source {} is of the kind {other}, which keeps no traces", source.uid),
        })
    }

    /// The log lines behind a data source.
    pub fn logs(&self, source: &DataSource) -> Loki {
        Loki::new(self.client.clone(), self.proxy(source))
    }

    /// The metrics behind a data source.
    pub fn metrics(&self, source: &DataSource) -> Prometheus {
        Prometheus::new(self.client.clone(), self.proxy(source))
    }

    fn proxy(&self, source: &DataSource) -> String {
        format!("{}/api/datasources/proxy/uid/{}", self.url, source.uid)
    }
}
