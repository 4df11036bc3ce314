//! Where spans and log records go, and how much of them may wait.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use super::{Exporter, milliseconds, positive};
use crate::Error;

/// Settings of what leaves over OTLP/HTTP.
#[derive(Args, Clone, Debug)]
pub struct ExportSettings {
    /// `otlp` sends spans, `none` records none.
    #[arg(long, env, value_enum, default_value = "otlp")]
    pub otel_traces_exporter: Exporter,

    /// `otlp` sends log lines, too; stdout and the file have them in any case.
    #[arg(long, env, value_enum, default_value = "none")]
    pub otel_logs_exporter: Exporter,

    /// Base URL of the OTLP/HTTP receiver, http:// or https://; `/v1/traces` and `/v1/logs` are below it.
    #[arg(long, env, default_value = "http://localhost:4318")]
    pub otel_exporter_otlp_endpoint: Endpoint,

    /// Where spans go instead: one URL, or several with commas between them, each of which gets all.
    #[arg(long, env, default_value = "")]
    pub otel_exporter_otlp_traces_endpoint: Endpoints,

    /// Where log lines go instead: one URL, or several with commas between them, each of which gets all.
    #[arg(long, env, default_value = "")]
    pub otel_exporter_otlp_logs_endpoint: Endpoints,

    /// Headers of every request, `name=value,name=value`, percent-encoded.
    #[arg(long, env, default_value = "", hide_env_values = true)]
    pub otel_exporter_otlp_headers: SecretString,

    /// Whether requests are compressed.
    #[arg(long, env, value_enum, default_value = "none")]
    pub otel_exporter_otlp_compression: Compression,

    /// Longest time for one attempt to deliver a request, in milliseconds.
    #[arg(long, env, default_value = "10000", value_parser = milliseconds)]
    pub otel_exporter_otlp_timeout: Duration,

    /// Longest wait before a batch of spans leaves, in milliseconds.
    #[arg(long, env, default_value = "1000", value_parser = milliseconds)]
    pub otel_bsp_schedule_delay: Duration,

    /// Spans that may wait in memory; more are dropped and counted.
    #[arg(long, env, default_value = "8192", value_parser = positive)]
    pub otel_bsp_max_queue_size: usize,

    /// Spans in one request.
    #[arg(long, env, default_value = "512", value_parser = positive)]
    pub otel_bsp_max_export_batch_size: usize,

    /// Longest wait before a batch of log lines leaves, in milliseconds.
    #[arg(long, env, default_value = "1000", value_parser = milliseconds)]
    pub otel_blrp_schedule_delay: Duration,

    /// Log lines for OTLP that may wait in memory; more are dropped and counted.
    #[arg(long, env, default_value = "8192", value_parser = positive)]
    pub otel_blrp_max_queue_size: usize,

    /// Log lines in one request.
    #[arg(long, env, default_value = "512", value_parser = positive)]
    pub otel_blrp_max_export_batch_size: usize,

    /// Directory for what a receiver has not taken yet; empty keeps it in memory only.
    #[arg(long, env, default_value = "var/spool", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub telemetry_spool_dir: PathBuf,

    /// Bytes that may wait on disk for each destination of each signal; the oldest make room, and are counted.
    #[arg(long, env, default_value = "268435456", value_parser = positive)]
    pub telemetry_spool_bytes: usize,

    /// For how long it may wait there; what is older is dropped and counted.
    #[arg(long, env, default_value = "24h", value_parser = duration)]
    pub telemetry_spool_age: Duration,
}

/// `OTEL_EXPORTER_OTLP_COMPRESSION`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// As it is.
    None,
    /// gzip.
    Gzip,
}

/// The URL of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(http::Uri);

/// URLs of receivers, none or more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints(Vec<Endpoint>);

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, String> {
        match value.parse::<http::Uri>() {
            Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
                Ok(Self(uri))
            }
            _ => Err("expected a URL such as http://localhost:4318".to_owned()),
        }
    }
}

impl FromStr for Endpoints {
    type Err = String;

    fn from_str(value: &str) -> Result<Self, String> {
        let named = value.split(',').map(str::trim).filter(|url| !url.is_empty());
        named.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl ExportSettings {
    /// Where spans go.
    pub(crate) fn traces_destinations(&self) -> Vec<http::Uri> {
        self.destinations(&self.otel_exporter_otlp_traces_endpoint, "v1/traces")
    }

    /// Where log records go.
    pub(crate) fn logs_destinations(&self) -> Vec<http::Uri> {
        self.destinations(&self.otel_exporter_otlp_logs_endpoint, "v1/logs")
    }

    /// By the specification, the endpoint of a signal is taken as it is, and the base is only for want of one.
    fn destinations(&self, named: &Endpoints, path: &str) -> Vec<http::Uri> {
        if !named.0.is_empty() {
            return named.0.iter().map(|endpoint| endpoint.0.clone()).collect();
        }
        let base = self.otel_exporter_otlp_endpoint.0.to_string();
        let below = format!("{}/{path}", base.trim_end_matches('/'));
        vec![below.parse().unwrap_or_else(|_| self.otel_exporter_otlp_endpoint.0.clone())]
    }

    /// The headers of every request. An error does not quote them: they are secrets.
    pub(crate) fn headers(&self) -> Result<HeaderMap, Error> {
        let pairs = self.otel_exporter_otlp_headers.expose_secret().split(',');
        let headers = pairs.filter(|pair| !pair.trim().is_empty()).map(header);
        headers.collect::<Option<_>>().ok_or(Error::Headers)
    }
}

fn duration(value: &str) -> Result<Duration, String> {
    humantime::parse_duration(value)
        .map_err(|error| format!("{error}: expected a duration such as 12h or 30m"))
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).collect::<Vec<_>>();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}
