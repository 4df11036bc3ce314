//! A real Prometheus.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use reqwest::Client;
use serde_json::Value;
use stacks::http;
use testkit::wait::eventually;
use tokio::process::{Child, Command};

pub(crate) struct Prometheus {
    url: String,
    client: Client,
    _process: Child,
}

impl Prometheus {
    /// Starts it with this configuration, and its data in a directory.
    pub(crate) fn start(dir: &Path, address: SocketAddr, config: &Value) -> Self {
        let file = dir.join("prometheus.yml");
        // JSON is YAML.
        fs::write(&file, config.to_string()).unwrap();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("prometheus").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=error"])
            .kill_on_drop(true)
            .spawn()
            .expect("prometheus is missing: run `make test`");
        Self { url: format!("http://{address}"), client: http::client().unwrap(), _process: process }
    }

    /// The `data` of an answer of its API.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let mut url = reqwest::Url::parse(&format!("{}/api/v1/{path}", self.url)).unwrap();
        url.query_pairs_mut().extend_pairs(parameters);
        let answer = self.client.get(url).send().await.map_err(|error| http::brief(&error))?;
        let mut answer: Value = answer.json().await.map_err(|error| error.to_string())?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(answer.to_string()) }
    }

    /// The values of an expression now, one for each series.
    pub(crate) async fn values(&self, expression: &str) -> Result<Vec<f64>, String> {
        let data = self.get("query", &[("query", expression)]).await?;
        let value = |value: &Value| value[1].as_str().unwrap().parse().unwrap();
        Ok(match data["resultType"].as_str() {
            Some("vector") => {
                data["result"].as_array().unwrap().iter().map(|series| value(&series["value"])).collect()
            }
            _ => vec![value(&data["result"])],
        })
    }

    /// The exemplars of the series that an expression selects, by trace and span.
    pub(crate) async fn exemplars(&self, expression: &str) -> Result<Vec<(String, String)>, String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let far = Duration::from_secs(600);
        let [start, end] = [now - far, now + far].map(|time| time.as_secs().to_string());
        let parameters = [("query", expression), ("start", &start), ("end", &end)];
        let data = self.get("query_exemplars", &parameters).await?;
        let series = data.as_array().unwrap().iter();
        let labels = series.flat_map(|series| series["exemplars"].as_array().unwrap());
        let id = |labels: &Value, name: &str| labels["labels"][name].as_str().unwrap().to_owned();
        Ok(labels.map(|found| (id(found, "trace_id"), id(found, "span_id"))).collect())
    }

    /// The exemplars of a family by trace and span, as soon as there is one of this trace.
    pub(crate) async fn exemplars_of(&self, family: &str, trace: &str) -> Vec<(String, String)> {
        eventually(&format!("an exemplar of {family} with trace {trace}"), async || {
            let ids = self.exemplars(&format!("{family}_bucket")).await?;
            if ids.iter().any(|(found, _)| found == trace) { Ok(ids) } else { Err(format!("{ids:?}")) }
        })
        .await
    }
}
