//! A service of a Compose file, as far as it is looked at here.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::local::ports;

/// The label that says where a service is asked whether it is ready, `<port>/<path>`, when its image can't ask itself.
pub const READY: &str = "omnitrace.ready";

/// One service.
#[derive(Clone, Debug, Deserialize)]
pub struct Service {
    /// The image, by tag and perhaps digest.
    #[serde(default)]
    pub image: String,
    /// How it is built, if it is ours.
    pub build: Option<Value>,
    /// `uid:gid`.
    pub user: Option<String>,
    /// Whether its root file system can't be written.
    #[serde(default)]
    pub read_only: bool,
    /// Capabilities taken away.
    #[serde(default)]
    pub cap_drop: Vec<String>,
    /// Capabilities given.
    #[serde(default)]
    pub cap_add: Vec<String>,
    /// `no-new-privileges:true` and the like.
    #[serde(default)]
    pub security_opt: Vec<String>,
    /// Whether it may do everything.
    #[serde(default)]
    pub privileged: bool,
    /// What happens when it ends.
    pub restart: Option<String>,
    /// The most memory it may take, such as `512m`.
    pub mem_limit: Option<String>,
    /// `address:port:port`.
    #[serde(default)]
    pub ports: Vec<String>,
    /// The settings that move the ports, in their order.
    #[serde(default, rename = "x-settings")]
    pub port_settings: Vec<String>,
    /// How its container asks it whether it is well.
    pub healthcheck: Option<Value>,
    /// For whoever looks at it from outside.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Settings; null is taken from the environment of `docker compose`.
    #[serde(default)]
    pub environment: BTreeMap<String, Value>,
    /// The words it is started with.
    #[serde(default)]
    pub command: Vec<String>,
    /// `source:target[:ro]`, the sources absolute.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Names of secrets, or maps with more about them.
    #[serde(default)]
    pub secrets: Vec<Value>,
    /// Names of those it needs, or a map of them.
    #[serde(default)]
    pub depends_on: Value,
}

/// A port on this machine, and the one in the container that it leads to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// Where this machine listens.
    pub host: SocketAddr,
    /// Where the container does.
    pub container: u16,
    /// The setting that moves it; empty when there is none.
    pub setting: String,
}

impl Service {
    /// Those that must be there first.
    pub fn needs(&self) -> Vec<&str> {
        match &self.depends_on {
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
            Value::Object(names) => names.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it does its work and ends.
    pub fn is_job(&self) -> bool {
        self.restart.as_deref() == Some("no")
    }

    /// The ports that it publishes.
    pub fn published(&self) -> Result<Vec<Published>> {
        let settings = self.port_settings.iter().map(String::as_str).chain(std::iter::repeat(""));
        self.ports.iter().zip(settings).map(|(text, setting)| published(text, setting)).collect()
    }

    /// The most memory it may take, in bytes.
    pub fn memory(&self) -> Result<u64> {
        bytes(self.mem_limit.as_deref().context("it has no mem_limit")?)
    }

    /// The URL, on this machine, that answers 200 when it is ready; none when its container knows.
    pub fn ready_url(&self) -> Result<Option<String>> {
        let Some(label) = self.labels.get(READY) else { return Ok(None) };
        let (port, path) =
            label.split_once('/').with_context(|| format!("{READY}={label} is not PORT/PATH"))?;
        let published = self.published()?;
        let host = published.iter().find(|published| published.container.to_string() == port);
        let host = host.with_context(|| format!("{READY}={label} names a port that is not published"))?;
        Ok(Some(format!("{}/{path}", crate::local::layout::url(host.host))))
    }

    /// The names of its secrets.
    pub fn secret_names(&self) -> Vec<&str> {
        self.secrets
            .iter()
            .filter_map(|secret| secret.as_str().or_else(|| secret["source"].as_str()))
            .collect()
    }
}

fn published(text: &str, setting: &str) -> Result<Published> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, container) =
        parts.with_context(|| format!("{text} publishes no single port: it is not ADDRESS:PORT:PORT"))?;
    Ok(Published { host: ports::parse(setting, host)?, container, setting: setting.to_owned() })
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
        .with_context(|| format!("{text} is no size such as 512m"))
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
    fn the_way_to_ask_from_outside_leads_over_the_published_port() {
        let mimir = json!({"ports": ["127.0.0.1:7000:9009"], "labels": {READY: "9009/ready"}});
        assert_eq!(service(mimir).ready_url().unwrap().unwrap(), "http://127.0.0.1:7000/ready");
        assert!(service(json!({"labels": {READY: "9009/ready"}})).ready_url().is_err());
        assert_eq!(service(json!({})).ready_url().unwrap(), None);
    }

    #[test]
    fn needs_are_read_in_both_ways_to_write_them() {
        assert_eq!(service(json!({"depends_on": ["a", "b"]})).needs(), ["a", "b"]);
        assert_eq!(service(json!({"depends_on": {"a": {"condition": "service_healthy"}}})).needs(), ["a"]);
    }
}
