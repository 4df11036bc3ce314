//! Where the servers of a stack listen on this machine, by setting or by default.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use reqwest::Client;

use crate::{
    address::{self, url},
    http,
    local::LocalStack,
    settings::Options,
};

/// The setting that moves a server, and its default port.
pub type Place = (&'static str, u16);

pub(super) const ELASTICSEARCH: Place = ("ELASTICSEARCH_LISTEN", 9200);
pub(super) const JAEGER: Place = ("JAEGER_LISTEN", 16686);
pub(super) const LOKI: Place = ("LOKI_LISTEN", 3100);
pub(super) const MAILPIT: Place = ("MAILPIT_LISTEN", 8025);
pub(super) const MIMIR: Place = ("MIMIR_LISTEN", 9009);
pub(super) const PROMETHEUS: Place = ("PROMETHEUS_LISTEN", 9090);
pub(super) const TEMPO: Place = ("TEMPO_LISTEN", 3200);

/// The servers of the stack in one directory.
pub struct Places {
    /// The local stack: whatever the stack, the services listen where its layout says.
    pub local: LocalStack,
    /// A client for all servers.
    pub client: Client,
}

impl Places {
    /// The servers that the settings of a directory name.
    ///
    /// # Errors
    /// When settings or state cannot be read.
    pub fn open(options: &Options) -> Result<Self> {
        Ok(Self { local: LocalStack::open(options)?, client: http::client()? })
    }

    /// The URL of a server.
    ///
    /// # Errors
    /// When the setting is not an address.
    pub fn url(&self, (setting, port): Place) -> Result<String> {
        let address = self.local.setting(setting).map(|value| address::parse(setting, value)).transpose()?;
        Ok(url(address.unwrap_or((Ipv4Addr::LOCALHOST, port).into())))
    }

    /// A secret of `.env` or the environment.
    ///
    /// # Errors
    /// Names the secret that is absent.
    pub fn secret(&self, name: &str) -> Result<&str> {
        let secret = self.local.setting(name);
        secret.with_context(|| format!("cannot find {name} in .env or the environment; `make up` writes one"))
    }
}
