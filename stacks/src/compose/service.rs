//! A service of a Compose file, with the keys that checks and start use.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::address;

/// The label `PORT/PATH` of a service's readiness probe, for an image that cannot run a health check.
pub(super) const READY: &str = "omnitrace.ready";

/// One service.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    #[serde(default)]
    pub image: String,
    pub build: Option<Value>,
    pub user: Option<String>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub cap_drop: Vec<String>,
    #[serde(default)]
    pub cap_add: Vec<String>,
    #[serde(default)]
    pub security_opt: Vec<String>,
    #[serde(default)]
    pub privileged: bool,
    pub restart: Option<String>,
    pub mem_limit: Option<String>,
    /// Published ports, `ADDRESS:PORT:PORT`.
    #[serde(default)]
    pub ports: Vec<String>,
    /// The settings that move the ports, in the same order.
    #[serde(default, rename = "x-settings")]
    pub port_settings: Vec<String>,
    pub healthcheck: Option<Value>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Settings; null means the value in the environment of `docker compose`.
    #[serde(default)]
    pub environment: BTreeMap<String, Value>,
    #[serde(default)]
    pub command: Vec<String>,
    /// Mounts, `SOURCE:TARGET[:OPTIONS]`, with absolute sources.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Secrets, by name or as maps with a `source`.
    #[serde(default)]
    pub secrets: Vec<Value>,
    /// The services that it needs, as a list or a map.
    #[serde(default)]
    pub depends_on: Value,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    pub host: SocketAddr,
    pub container: u16,
    /// The setting that moves it; empty without one.
    pub setting: String,
}

impl Service {
    /// The services that must be ready first.
    pub(crate) fn needs(&self) -> Vec<&str> {
        match &self.depends_on {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Object(names) => names.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// True if the service ends after its work.
    pub(crate) fn is_job(&self) -> bool {
        self.restart.as_deref() == Some("no")
    }

    /// The published ports.
    pub(crate) fn published(&self) -> Result<Vec<Published>> {
        let settings = self.port_settings.iter().map(String::as_str).chain(std::iter::repeat(""));
        self.ports.iter().zip(settings).map(|(text, setting)| published(text, setting)).collect()
    }

    /// The memory limit in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        bytes(self.mem_limit.as_deref().context("it has no mem_limit")?)
    }

    /// The URL of the readiness probe on this machine; none if the container has a health check.
    pub(crate) fn ready_url(&self) -> Result<Option<String>> {
        let Some(label) = self.labels.get(READY) else { return Ok(None) };
        let (port, path) =
            label.split_once('/').with_context(|| format!("{READY}={label} is not PORT/PATH"))?;
        let published = self.published()?;
        let host = published.iter().find(|published| published.container.to_string() == port);
        let host = host.with_context(|| format!("{READY}={label} names a port that is not published"))?;
        Ok(Some(format!("{}/{path}", address::url(host.host))))
    }

    /// The names of its secrets.
    pub(crate) fn secret_names(&self) -> Vec<&str> {
        self.secrets
            .iter()
            .filter_map(|secret| secret.as_str().or_else(|| secret["source"].as_str()))
            .collect()
    }
}

fn published(text: &str, setting: &str) -> Result<Published> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, container) =
        parts.with_context(|| format!("cannot read the port {text}: not ADDRESS:PORT:PORT"))?;
    Ok(Published { host: address::parse(setting, host)?, container, setting: setting.to_owned() })
}

/// `512m` or `1g` in bytes.
fn bytes(text: &str) -> Result<u64> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let unit: Option<u64> = match unit {
        "k" => Some(1 << 10),
        "m" => Some(1 << 20),
        "g" => Some(1 << 30),
        _ => None,
    };
    let number = number.parse::<u64>().ok();
    number
        .zip(unit)
        .map(|(number, unit)| number * unit)
        .with_context(|| format!("cannot read the size {text}: not like 512m"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(value: Value) -> Service {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn ports_and_sizes_are_read_and_bad_ones_refused() {
        let published = published("127.0.0.1:4000:3000", "X").unwrap();
        assert_eq!((published.host.to_string().as_str(), published.container), ("127.0.0.1:4000", 3000));
        for bad in ["3000", "127.0.0.1:x:3000", "127.0.0.1:4000:web"] {
            assert!(super::published(bad, "X").is_err(), "{bad}");
        }
        assert_eq!((bytes("512m").unwrap(), bytes("2g").unwrap()), (512 << 20, 2 << 30));
        assert!(bytes("1.5g").is_err() && bytes("lots").is_err() && bytes("").is_err());
    }

    #[test]
    fn a_probe_goes_to_the_published_port() {
        let mimir = json!({"ports": ["127.0.0.1:7000:9009"], "labels": {READY: "9009/ready"}});
        assert_eq!(service(mimir).ready_url().unwrap().unwrap(), "http://127.0.0.1:7000/ready");
        assert!(service(json!({"labels": {READY: "9009/ready"}})).ready_url().is_err());
        assert_eq!(service(json!({})).ready_url().unwrap(), None);
    }

    #[test]
    fn needs_are_read_from_lists_and_maps() {
        assert_eq!(service(json!({"depends_on": ["a", "b"]})).needs(), ["a", "b"]);
        assert_eq!(service(json!({"depends_on": {"a": {"condition": "service_healthy"}}})).needs(), ["a"]);
    }
}
