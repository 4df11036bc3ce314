//! `trials` breaks and measures the system, and lends servers to tests.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use stacks::{settings::Options, signals::Interruptions};
use trials::{
    bench::{self, BenchWanted},
    broker,
    compare::{self, CompareWanted},
    faults::{self, FaultsWanted},
    postgres,
};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// The root directory: holds .env, var/ and logs/
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Break the system under load, and check whether an accepted order was lost or done twice
    Faults(FaultsWanted),
    /// Measure what telemetry costs: the services with telemetry off and on, in pairs
    Bench(BenchWanted),
    /// Send the same orders through one stack after the other, and compare the cost
    Compare(CompareWanted),
    /// Run a command with a private RabbitMQ node, named by AMQP_URL
    Broker {
        /// The command and its arguments, after `--`
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Run a command with a private PostgreSQL server, named by DATABASE_URL
    Postgres {
        /// The command and its arguments, after `--`
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    run(Cli::parse()).await.unwrap_or_else(|error| {
        eprintln!("trials: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(Cli { dir, command }: Cli) -> Result<ExitCode> {
    let options = Options::new(dir)?;
    let has = |variable: &str| options.env.get(variable).is_some_and(|url| !url.is_empty());
    match command {
        Command::Broker { command } => {
            return Ok(ExitCode::from(broker::run(&command, has("AMQP_URL")).await?));
        }
        Command::Postgres { command } => {
            return Ok(ExitCode::from(postgres::run(&command, has("DATABASE_URL")).await?));
        }
        _ => {}
    }
    let mut interruptions = Interruptions::new()?;
    tokio::select! {
        good = attempt(&options, &command) => Ok(if good? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        signal = interruptions.next() => {
            // The owner of each process was dropped with the branch above, and that stopped the process.
            let advice = match command {
                Command::Compare(_) => format!("a Docker stack still runs; stop it with `{}`", compare::CLEAN_UP),
                _ => "all processes are stopped".to_owned(),
            };
            eprintln!("trials: interrupted; {advice}");
            Ok(ExitCode::from(128 + signal.as_raw() as u8))
        }
    }
}

/// Whether the outcome is good.
async fn attempt(options: &Options, command: &Command) -> Result<bool> {
    match command {
        Command::Faults(wanted) => faults::run(options, wanted).await,
        Command::Bench(wanted) => bench::run(options, wanted).await.map(|()| true),
        Command::Compare(wanted) => compare::run(options, wanted).await.map(|()| true),
        Command::Broker { .. } | Command::Postgres { .. } => Ok(true),
    }
}
