//! The settings of the mailer, as `mailer --help` prints them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use lettre::message::Mailbox;
use secrecy::{ExposeSecret, SecretString};
use service::amqp::Broker;
use service::lifecycle::{StopTimes, duration};
use service::token::Token;

use crate::simulation::Simulation;
use crate::transport::Transport;

/// Turns payment events into e-mails, one for each.
#[derive(Parser, Clone, Debug)]
#[command(version, about)]
pub struct Config {
    /// Address and port that HTTP is served on.
    #[arg(long, env, default_value = "127.0.0.1:3002")]
    pub mailer_listen: SocketAddr,

    /// The token that callers of /dead-letters and /simulation must send; `make up` writes a random one to .env.
    #[arg(long, env, hide_env_values = true)]
    pub mailer_token: SecretString,

    /// The database of events whose e-mail is due: a file, or postgresql://user:password@host/database
    #[arg(long, env, default_value = "sqlite://var/mailer.db", hide_env_values = true)]
    pub mailer_database_url: SecretString,

    /// The broker: amqp://user:password@host:port/vhost, or amqps:// for TLS.
    #[arg(long, env, hide_env_values = true)]
    pub amqp_url: SecretString,

    /// The mail server: smtp://user:password@host:port, with ?tls=required for STARTTLS, or smtps://; without it e-mails
    /// become files in MAIL_DIR.
    #[arg(long, env, hide_env_values = true)]
    pub smtp_url: Option<SecretString>,

    /// Directory of the .eml files that are written without SMTP_URL.
    #[arg(long, env, default_value = "var/mail")]
    pub mail_dir: PathBuf,

    /// Sender of every e-mail.
    #[arg(long, env, default_value = "Omnitrace Checkout <checkout@omnitrace.example>")]
    pub mail_from: Mailbox,

    /// Simulated time of an attempt to send, such as 800ms; 0s for none.
    #[arg(long, env, default_value = "800ms", value_parser = duration)]
    pub mail_latency: Duration,

    /// Longest time of the attempts to send an e-mail, such as 24h; then it is a dead letter.
    #[arg(long, env, default_value = "24h", value_parser = duration)]
    pub mail_deadline: Duration,

    /// Time for which a dead letter is kept since it was received or put back, such as 90d; 0s keeps it until it is replayed
    /// or discarded.
    #[arg(long, env, default_value = "0s", value_parser = duration)]
    pub mail_dead_letter_retention: Duration,

    /// For an e-mail that the mail server may have or not: send it again, or hold it for an operator.
    #[arg(long, env, default_value = "resend")]
    pub mail_uncertain: Policy,

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

/// What to do about an e-mail that the mail server may have or not.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// At least once: send it again, with the same Message-ID.
    Resend,
    /// At most once: hold it for an operator.
    Hold,
}

impl Config {
    /// How long a stop takes.
    pub fn stop_times(&self) -> StopTimes {
        StopTimes { drain_delay: self.shutdown_drain_delay, deadline: self.shutdown_deadline }
    }

    /// The simulation that the mailer starts with: latency alone.
    pub fn simulation(&self) -> Simulation {
        Simulation { latency: self.mail_latency, paused: false, failure_rate: 0.0 }
    }

    /// Checks the secrets, which clap would print, and the URLs.
    ///
    /// # Errors
    /// When a setting is not valid; the text names the variable and the remedy.
    pub fn check(&self) -> Result<(), String> {
        Token::check("MAILER_TOKEN", &self.mailer_token)?;
        let smtp = self.smtp_url.as_ref().map(Transport::smtp).transpose();
        smtp.map_err(|error| error.to_string())?;
        store::check(&self.mailer_database_url).map_err(|error| format!("MAILER_DATABASE_URL: {error}"))?;
        Broker::check(self.amqp_url.expose_secret()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_print_without_their_secrets() {
        let secrets = [
            "--mailer-token=canary",
            "--amqp-url=amqp://canary:canary@localhost",
            "--smtp-url=smtp://canary:canary@localhost",
        ];
        let config = Config::parse_from(std::iter::once("mailer").chain(secrets));
        assert!(!format!("{config:?}").contains("canary"), "{config:?}");
    }
}
