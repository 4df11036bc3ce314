//! Servers for tests: each runs in a directory of its own for as long as a command does, so that tests need no server
//! on the machine and leave none behind.

mod broker;
mod command;
mod postgres;
mod server;

use std::process::ExitCode;

use anyhow::Result;
use stacks::settings::Settings;

pub use self::{broker::Broker, postgres::Postgres, server::Server};

/// Runs a command with the variables that name a new server, and returns its exit code. Where the environment names a
/// server already, the command simply runs.
///
/// # Errors
/// When the server does not start, or the command cannot be run.
pub async fn lend<S: Server>(command: &[String], env: &Settings) -> Result<ExitCode> {
    let has_server = env.get(S::VARIABLE).is_some_and(|url| !url.is_empty());
    command::run::<S>(command, has_server).await
}
