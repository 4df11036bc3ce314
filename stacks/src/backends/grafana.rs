//! Grafana's API: its data sources, their links, and the servers behind them.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use data_encoding::BASE64;
use reqwest::{
    Client,
    header::{AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Traces,
    asker::Asker,
    jaeger::Jaeger,
    loki::Loki,
    prometheus::Prometheus,
    questions::{Asked, Question},
    tempo::Tempo,
};

/// A client of one Grafana.
pub struct Grafana {
    client: Client,
    url: String,
}

/// A data source.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataSource {
    /// The uid, by which links name it.
    pub uid: String,
    /// The plugin: `loki`, `tempo`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The plugin's settings, links included.
    #[serde(default)]
    pub json_data: Value,
}

impl Grafana {
    /// A client of the server at `url`, as its administrator.
    pub(crate) fn new(url: impl Into<String>, password: &str) -> Result<Self> {
        let login = format!("Basic {}", BASE64.encode(format!("admin:{password}").as_bytes()));
        let mut login = HeaderValue::from_str(&login).context("cannot put GRAFANA_PASSWORD into a header")?;
        login.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, login)]);
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).default_headers(headers);
        Ok(Self { client: client.build().context("cannot make an HTTP client")?, url: url.into() })
    }

    /// All data sources.
    pub(crate) async fn data_sources(&self) -> Result<Vec<DataSource>> {
        let asker = Asker::new(self.client.clone(), &self.url);
        let response = asker.ask_ok(&Asked::plain(Question::GrafanaDataSources)).await?;
        response.json().await.context("cannot read Grafana's data sources")
    }

    /// The traces behind a data source, fetched as Grafana does.
    pub(crate) fn traces(&self, source: &DataSource) -> Result<Box<dyn Traces>> {
        let (client, url) = (self.client.clone(), self.proxy(source));
        Ok(match source.kind.as_str() {
            "jaeger" => Box::new(Jaeger::new(client, url)),
            "tempo" => Box::new(Tempo::new(client, url)),
            other => bail!("cannot read traces from the data source {}: its type is {other}", source.uid),
        })
    }

    /// The log lines behind a data source.
    pub(crate) fn logs(&self, source: &DataSource) -> Loki {
        Loki::new(self.client.clone(), self.proxy(source))
    }

    /// The metrics behind a data source.
    pub(crate) fn metrics(&self, source: &DataSource) -> Prometheus {
        Prometheus::new(self.client.clone(), self.proxy(source))
    }

    fn proxy(&self, source: &DataSource) -> String {
        format!("{}/api/datasources/proxy/uid/{}", self.url, source.uid)
    }
}
