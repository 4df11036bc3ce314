//! `stacks` starts, stops and inspects the stacks that the services are observed with.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use stacks::{
    check,
    commands::{self, DownArgs, LogsArgs, TraceArgs},
    compose,
    console::{self, ConsoleArgs},
    dead_letters::{self, Selection, story},
    drill::{self, DrillArgs, IncidentArgs},
    load::{self, LoadArgs},
    prove::{self, ProveArgs},
    record::{self, RecordArgs},
    settings::Options,
    signals::{interruptible, patient},
    stack::Stack,
    trace_backend,
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
    /// Start the local stack and place one order, or start a Docker stack
    Up {
        /// A Docker stack, with the services in containers
        #[arg(long, value_name = "STACK", value_parser = Stack::docker_parser(), conflicts_with = "free_ports")]
        stack: Option<Stack>,
        /// Choose free ports where no setting names one, for stacks side by side
        #[arg(long)]
        free_ports: bool,
    },
    /// Place an order, and show its trace and its log lines
    Order,
    /// Stop what `up` has started
    Down(DownArgs),
    /// Check this machine for the Docker stacks; exit code 0 if they can start
    Doctor {
        /// Only for this Docker stack
        #[arg(long, value_name = "STACK", value_parser = Stack::docker_parser())]
        stack: Option<Stack>,
    },
    /// Show the components of the local stack; exit code 0 if all are ready
    Status,
    /// Print the link to the console, the page on which orders are followed and things are broken
    Console(ConsoleArgs),
    /// Show the log lines of all services as one log
    Logs(LogsArgs),
    /// Draw the trace of an order
    Trace(TraceArgs),
    /// List the dead letters: e-mails and messages that are not retried, the oldest first
    DeadLetters {
        /// Print the mailer's JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter: its attempts, its event without personal data, its trace
    DeadLetter {
        /// The event of the dead letter
        #[arg(long, value_name = "ID")]
        event: String,
        /// Print the mailer's JSON
        #[arg(long)]
        json: bool,
    },
    /// Replay dead letters, one or all
    Replay(Selection),
    /// Discard dead letters, one or all
    Discard(Selection),
    /// Place orders, and check that each has left its trace, log lines, metrics and one e-mail
    Prove(ProveArgs),
    /// Record what the servers of the running stack answer, for the tests of their clients
    Record(RecordArgs),
    /// Place good, declined and invalid orders at a steady rate; exit code 0 if every answer is the expected one
    Load(LoadArgs),
    /// Check rules, dashboards, documents and the telemetry of the services against the registry of telemetry
    Check,
    /// Write the tables of docs/telemetry/registry into the documents
    Registry,
    /// Cause an alert, wait for its delivery, repair the cause, and wait for the resolved notice
    Drill(DrillArgs),
    /// Break something at random, for training
    Incident(IncidentArgs),
    /// Name the incident and the query that shows it, and repair it
    Answer,
    /// Place orders while there is an incident
    #[command(hide = true)]
    IncidentOrders {
        /// URL of the gateway, such as http://127.0.0.1:3000
        #[arg(long)]
        gateway: String,
    },
    /// Serve the console of the stack in the directory
    #[command(hide = true)]
    ConsoleServer {
        /// Address of the page
        #[arg(long, default_value = "127.0.0.1:3030")]
        listen: SocketAddr,
    },
    /// Run the local stack's trace backend
    #[command(hide = true)]
    TraceBackend {
        /// Address of OTLP over HTTP
        #[arg(long, default_value = "127.0.0.1:4318")]
        otlp: SocketAddr,
        /// Address of Jaeger's UI and query API
        #[arg(long, default_value = "127.0.0.1:16686")]
        ui: SocketAddr,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        // The reader of a pipe has ended, `head` for example.
        Err(error)
            if error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stacks: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Cli { dir, command }: Cli) -> Result<ExitCode> {
    let mut options = Options::new(dir)?;
    match command {
        Command::Up { stack: Some(stack), .. } => {
            return Ok(patient(compose::up(&options, stack)).await?.code(success));
        }
        Command::Up { stack: None, free_ports } => {
            options.free_ports = free_ports;
            if !free_ports {
                compose::refuse_beside_docker(&options).await?;
            }
            let left = || commands::after_interruption(&options).to_owned();
            return Ok(interruptible(commands::up(&options), left).await?.code(success));
        }
        Command::Order => commands::order(&options).await?,
        Command::Down(args) if args.stack.is_some() => {
            return Ok(patient(commands::down(&options, &args)).await?.code(success));
        }
        Command::Down(args) => commands::down(&options, &args).await?,
        Command::Doctor { stack } => return compose::doctor(&options, stack).await.map(code),
        Command::Status => return commands::status(&options).await.map(code),
        Command::Console(args) => console::console(&options, &args).await?,
        Command::Logs(args) => commands::logs(&options, &args).await?,
        Command::Trace(args) => commands::trace(&options, &args).await?,
        Command::DeadLetters { json } => dead_letters::list(&options, json).await?,
        Command::DeadLetter { event, json } => story::show_one(&options, &event, json).await?,
        Command::Replay(args) => dead_letters::replay(&options, &args).await?,
        Command::Discard(args) => dead_letters::discard(&options, &args).await?,
        Command::Prove(args) => return prove::run(&options, &args).await.map(code),
        Command::Record(args) => record::run(&options, &args).await?,
        Command::Load(args) => return load::run(&options, &args).await.map(code),
        Command::Check => {
            let left = || "the components that were started are stopped".to_owned();
            return Ok(interruptible(check::run(&options), left).await?.code(code));
        }
        Command::Registry => commands::registry(&options)?,
        Command::Drill(args) => return drill::run(&options, &args).await,
        Command::Incident(args) => drill::begin(&options, &args).await?,
        Command::Answer => drill::answer(&options).await?,
        Command::IncidentOrders { gateway } => drill::place_orders(&gateway).await?,
        Command::ConsoleServer { listen } => console::serve(options, listen).await?,
        Command::TraceBackend { otlp, ui } => trace_backend::serve(otlp, ui).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn code(is_good: bool) -> ExitCode {
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
