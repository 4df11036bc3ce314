//! The settings of the gateway, as `gateway --help` prints them.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Parser;
use ipnet::IpNet;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use service::lifecycle::{StopTimes, duration};
use service::token::Token;
use telemetry::http::{ForwardedHeader, Incoming, Proxies};

/// Takes orders over HTTP and has them paid.
#[derive(Parser, Clone, Debug)]
#[command(version, about)]
pub struct Config {
    /// Address and port that HTTP is served on.
    #[arg(long, env, default_value = "127.0.0.1:3000")]
    pub gateway_listen: SocketAddr,

    /// Base URL of payment.
    #[arg(long, env, default_value = "http://127.0.0.1:3001", value_parser = base_url)]
    pub payment_url: Url,

    /// The token for payment; `make up` writes a random one to .env.
    #[arg(long, env, hide_env_values = true)]
    pub payment_token: SecretString,

    /// The token that callers of /alerts must send, such as Alertmanager; without it there is no alert log.
    #[arg(long, env, hide_env_values = true)]
    pub alerts_token: Option<SecretString>,

    /// Longest time for a response of payment, retries included.
    #[arg(long, env, default_value = "10s", value_parser = duration)]
    pub payment_deadline: Duration,

    /// Requests that may be in flight at once; more are answered with 503.
    #[arg(long, env, default_value = "1024")]
    pub gateway_max_in_flight: NonZeroU32,

    /// Percentage of the requests in flight that one client may have; more are answered with 429.
    #[arg(long, env, default_value = "50", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub gateway_client_share: u8,

    /// Requests that one client address may make each second; more are answered with 429; 0 for no limit.
    #[arg(long, env, default_value = "500")]
    pub gateway_rate_limit: u32,

    /// URL of a Redis or Valkey that keeps this limit for several gateways; none for a limit of each gateway.
    #[arg(long, env, hide_env_values = true)]
    pub gateway_rate_limit_url: Option<SecretString>,

    /// Longest time for an answer of that store; then this gateway limits by itself.
    #[arg(long, env, default_value = "50ms", value_parser = duration)]
    pub gateway_rate_limit_deadline: Duration,

    /// Percentage of the limit that this gateway admits while the store does not answer.
    #[arg(long, env, default_value = "50", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub gateway_rate_limit_share: u8,

    /// Addresses or networks of the proxies in front, such as 10.0.0.0/8,192.0.2.7: their word on the client is believed.
    #[arg(long, env, value_parser = networks, default_value = "", hide_default_value = true)]
    pub gateway_trusted_proxies: Networks,

    /// The header in which these proxies name the client; the other one is ignored.
    #[arg(long, env, value_enum, default_value = "x-forwarded-for")]
    pub gateway_forwarded_header: ForwardedHeader,

    /// Time for which a connection is kept without a request; longer than that of proxies in front.
    #[arg(long, env, default_value = "5s", value_parser = duration)]
    pub gateway_keep_alive: Duration,

    /// Longest time for the body of a request to arrive.
    #[arg(long, env, default_value = "10s", value_parser = duration)]
    pub gateway_body_deadline: Duration,

    /// The trace of a client: continue it, or start another one that is linked to it.
    #[arg(long, env, value_enum, default_value = "continue")]
    pub gateway_trace_context: Incoming,

    /// URL of the web page of a trace; {traceId} stands for its id.
    #[arg(long, env, default_value = "http://localhost:16686/trace/{traceId}")]
    pub trace_url: String,

    /// Time between a signal and the end of the listener, in which the service is not ready but serves on.
    #[arg(long, env, default_value = "0s", value_parser = duration)]
    pub shutdown_drain_delay: Duration,

    /// Longest time to stop after a signal and the drain delay; the exit code is 3 where work is left unfinished.
    #[arg(long, env, default_value = "15s", value_parser = duration)]
    pub shutdown_deadline: Duration,

    /// Start nothing; exit with 0 if the service that runs with these settings is ready. For health checks of containers.
    #[arg(long)]
    pub healthcheck: bool,

    #[expect(missing_docs, reason = "a doc comment here would replace the heading in --help")]
    #[command(flatten)]
    pub telemetry: telemetry::Settings,
}

impl Config {
    /// How long a stop takes.
    pub fn stop_times(&self) -> StopTimes {
        StopTimes { drain_delay: self.shutdown_drain_delay, deadline: self.shutdown_deadline }
    }

    /// The proxies in front of this gateway.
    pub fn proxies(&self) -> Proxies {
        Proxies::new(self.gateway_trusted_proxies.iter().copied(), self.gateway_forwarded_header)
    }

    /// The store of the rate limit; an empty setting is none.
    pub(crate) fn rate_limit_url(&self) -> Option<&str> {
        self.gateway_rate_limit_url.as_ref().map(ExposeSecret::expose_secret).filter(|url| !url.is_empty())
    }

    /// Checks the secrets, which clap would print.
    ///
    /// # Errors
    /// When a setting is not valid; the text names the variable and the remedy.
    pub fn check(&self) -> Result<(), String> {
        Token::check("PAYMENT_TOKEN", &self.payment_token)?;
        self.alerts_token.as_ref().map_or(Ok(()), |token| Token::check("ALERTS_TOKEN", token))?;
        if self.rate_limit_url().is_some_and(|url| redis::Client::open(url).is_err()) {
            return Err("cannot use GATEWAY_RATE_LIMIT_URL: it is no URL of Redis; write it like \
                redis://127.0.0.1:6379"
                .to_owned());
        }
        let url = &self.payment_url;
        let is_base = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        match is_base && url.query().is_none() && url.fragment().is_none() {
            true => Ok(()),
            // Spans have the URL: it must not contain a password.
            false => {
                Err("cannot use PAYMENT_URL: it has more than a scheme, a host and a port; write it like \
                http://127.0.0.1:3001"
                    .to_owned())
            }
        }
    }
}

/// Networks of one setting.
type Networks = std::sync::Arc<[IpNet]>;

/// Networks, or addresses, with commas between them.
fn networks(value: &str) -> Result<Networks, String> {
    let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
    let network = |part: &str| {
        let network = part.parse::<IpNet>().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| format!("`{part}` is no network: expected one such as 10.0.0.0/8, or an address"))
    };
    parts.map(network).collect()
}

fn base_url(value: &str) -> Result<Url, String> {
    match value.parse::<Url>() {
        Ok(url) if url.scheme() == "http" && url.host().is_some() => Ok(url),
        _ => Err("expected a URL such as http://127.0.0.1:3001".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trusted_proxies_are_addresses_and_networks() {
        let parsed = |value: &str| networks(value).map(|networks| format!("{networks:?}"));
        assert_eq!(parsed("").as_deref(), Ok("[]"));
        assert_eq!(
            parsed("10.0.0.0/8, 192.0.2.7,2001:db8::/32").as_deref(),
            Ok("[10.0.0.0/8, 192.0.2.7/32, 2001:db8::/32]")
        );
        assert!(parsed("10.0.0.0/33").unwrap_err().contains("10.0.0.0/33"));
        assert!(parsed("proxy.example").is_err());
    }

    #[test]
    fn settings_print_without_their_secrets() {
        let secrets = ["--payment-token=canary", "--alerts-token=canary"];
        let config = Config::parse_from(std::iter::once("gateway").chain(secrets));
        assert!(!format!("{config:?}").contains("canary"), "{config:?}");
    }
}
