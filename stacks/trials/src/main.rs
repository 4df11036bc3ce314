//! `trials` breaks and measures the system, and lends servers to tests.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use stacks::{settings::Options, signals::interruptible};
use trials::{
    bench::{self, BenchArgs},
    campaign::{self, CampaignArgs},
    compare::{self, CompareArgs},
    faults::{self, FaultsArgs},
    lent::{self, Broker, Postgres},
    mutants::{self, MutantsArgs},
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
    Faults(FaultsArgs),
    /// Break the system at random for hours under a steady load, and check it and its growth
    Campaign(CampaignArgs),
    /// Give the services one bug after the other, and check that each is caught
    Mutants(MutantsArgs),
    /// Measure what an order costs with telemetry off and on, beside an earlier revision if one is named
    Bench(BenchArgs),
    /// Send the same orders through one stack after the other, and compare the cost
    Compare(CompareArgs),
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
    let good = async |command| match command {
        Command::Faults(args) => faults::run(&options, &args).await,
        Command::Campaign(args) => campaign::run(&options, &args).await,
        Command::Mutants(args) => mutants::run(&options, &args).await,
        Command::Bench(args) => bench::run(&options, &args).await.map(|()| true),
        Command::Compare(args) => compare::run(&options, &args).await.map(|()| true),
        Command::Broker { .. } | Command::Postgres { .. } => Ok(true),
    };
    let left = match &command {
        Command::Broker { command } => return lent::lend::<Broker>(command, &options.env).await,
        Command::Postgres { command } => return lent::lend::<Postgres>(command, &options.env).await,
        Command::Compare(_) => format!("a Docker stack may still run; stop it with `{}`", compare::CLEAN_UP),
        _ => "the processes that were started are stopped".to_owned(),
    };
    let ended = interruptible(good(command), || left).await?;
    Ok(ended.code(|good| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}
