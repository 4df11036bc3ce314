//! The settings of payment, as `payment --help` prints them.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::Parser;
use secrecy::{ExposeSecret, SecretString};
use service::amqp::Broker;
use service::lifecycle::{StopTimes, duration};
use service::token::Token;

use crate::decision::Rules;
use crate::simulation::Simulation;

/// Settles each payment once, and announces it on the broker.
#[derive(Parser, Clone, Debug)]
#[command(version, about)]
pub struct Config {
    /// Address and port that HTTP is served on.
    #[arg(long, env, default_value = "127.0.0.1:3001")]
    pub payment_listen: SocketAddr,

    /// The token that callers must send; `make up` writes a random one to .env.
    #[arg(long, env, hide_env_values = true)]
    pub payment_token: SecretString,

    /// The database of payments and the outbox: a file, or postgresql://user:password@host/database
    #[arg(long, env, default_value = "sqlite://var/payment.db", hide_env_values = true)]
    pub payment_database_url: SecretString,

    /// The broker: amqp://user:password@host:port/vhost, or amqps:// for TLS.
    #[arg(long, env, hide_env_values = true)]
    pub amqp_url: SecretString,

    /// Simulated time of a settlement, such as 500ms; 0s for none.
    #[arg(long, env, default_value = "500ms", value_parser = duration)]
    pub payment_latency: Duration,

    /// Simulated share of payments that are declined, 0 to 1.
    #[arg(long, env, default_value = "0", value_parser = share)]
    pub payment_decline_rate: f64,

    /// Simulated share of attempts that fail before anything is decided, 0 to 1.
    #[arg(long, env, default_value = "0", value_parser = share)]
    pub payment_failure_rate: f64,

    /// Payments that may be in flight at once; more are answered with 503.
    #[arg(long, env, default_value = "2048")]
    pub payment_max_in_flight: NonZeroU32,

    /// Events that may wait for the broker; with more, payments are answered with 503.
    #[arg(long, env, default_value = "100000")]
    pub payment_outbox_limit: NonZeroU32,

    /// Largest amount that is not declined, in whole units of its currency.
    #[arg(long, env, default_value = "10000")]
    pub payment_limit: u32,

    /// Time between a signal and the end of the listener, in which the service is not ready but serves on.
    #[arg(long, env, default_value = "0s", value_parser = duration)]
    pub shutdown_drain_delay: Duration,

    /// Longest time to stop after a signal and the drain delay; the exit code is 3 where work is left unfinished.
    #[arg(long, env, default_value = "10s", value_parser = duration)]
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

    /// Checks the secrets, which clap would print, and the URLs.
    ///
    /// # Errors
    /// When a setting is not valid; the text names the variable and the remedy.
    pub fn check(&self) -> Result<(), String> {
        Token::check("PAYMENT_TOKEN", &self.payment_token)?;
        store::check(&self.payment_database_url).map_err(|error| format!("PAYMENT_DATABASE_URL: {error}"))?;
        Broker::check(self.amqp_url.expose_secret()).map_err(|error| error.to_string())
    }

    /// The simulated processor that payment starts with.
    pub fn simulation(&self) -> Simulation {
        Simulation {
            latency: self.payment_latency,
            decline_rate: self.payment_decline_rate,
            failure_rate: self.payment_failure_rate,
        }
    }

    /// The rules of decision among these settings.
    pub fn rules(&self) -> Rules {
        Rules {
            simulation: self.simulation(),
            limit: self.payment_limit,
            max_in_flight: self.payment_max_in_flight.get(),
            outbox_limit: self.payment_outbox_limit.get(),
        }
    }
}

fn share(value: &str) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_print_without_their_secrets() {
        let secrets = ["--payment-token=canary", "--amqp-url=amqp://canary:canary@localhost"];
        let config = Config::parse_from(std::iter::once("payment").chain(secrets));
        assert!(!format!("{config:?}").contains("canary"), "{config:?}");
    }
}
