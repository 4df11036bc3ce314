//! Where the servers of a stack listen on this machine, by setting or by default.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use reqwest::Client;

use crate::{
    address::{self, url},
    http,
    local::LocalStack,
    logs::SERVICES,
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
    /// The local stack: in every stack, the services listen where its layout says.
    pub local: LocalStack,
    /// A client for all servers.
    pub client: Client,
}

impl Places {
    /// The servers that the settings of a directory name.
    pub(crate) fn open(options: &Options) -> Result<Self> {
        Ok(Self { local: LocalStack::open(options)?, client: http::client()? })
    }

    pub(super) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The URL of the local stack's trace backend.
    pub(super) fn local_jaeger(&self) -> Result<String> {
        self.local.jaeger_url().context(
            "cannot read the spans: OTEL_EXPORTER_OTLP_ENDPOINT names another trace backend than the stack's own",
        )
    }

    /// The names and URLs of the services.
    pub(super) fn services(&self) -> impl Iterator<Item = (&'static str, String)> {
        let urls = [self.local.gateway_url(), self.local.payment_url(), self.local.mailer_url()];
        SERVICES.into_iter().zip(urls)
    }

    /// The URL of a server.
    pub(crate) fn url(&self, (setting, port): Place) -> Result<String> {
        let address = self.local.setting(setting).map(|value| address::parse(setting, value)).transpose()?;
        Ok(url(address.unwrap_or((Ipv4Addr::LOCALHOST, port).into())))
    }

    /// A secret of `.env` or the environment.
    pub(crate) fn secret(&self, name: &str) -> Result<&str> {
        let secret = self.local.setting(name);
        secret.with_context(|| format!("cannot find {name} in .env or the environment; `make up` writes one"))
    }
}
