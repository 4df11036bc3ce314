//! `stacks` starts, stops and inspects what the services run on and are observed with.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::PathBuf,
    pin::pin,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use stacks::{
    check,
    commands::{self, DownWanted, LogsWanted, TraceWanted},
    compose,
    dead_letters::{self, ReplayWanted},
    drill::{self, DrillWanted, IncidentWanted},
    load::{self, LoadWanted},
    local::Options,
    prove::{self, ProveWanted},
    signals::Interruptions,
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
    /// Start the local stack, place one order and show its way; or start a Docker stack
    Up {
        /// A stack in Docker: its Compose file, and the checkout in containers
        #[arg(long, value_enum, conflicts_with = "free_ports")]
        stack: Option<compose::Kind>,
        /// Choose free ports where no setting names one, for stacks side by side
        #[arg(long)]
        free_ports: bool,
    },
    /// Place an order and show its way
    Order,
    /// Stop exactly what `up` has started
    Down(DownWanted),
    /// Look what stands in the way of the Docker stacks; exit code 0 if nothing does
    Doctor {
        /// Only for this one
        #[arg(long, value_enum)]
        stack: Option<compose::Kind>,
    },
    /// Show what runs; exit code 0 if everything is ready
    Status,
    /// Show the log lines of all services as one log
    Logs(LogsWanted),
    /// Draw the trace of an order
    Trace(TraceWanted),
    /// List the e-mails and messages that nobody works on any more, the oldest first
    DeadLetters {
        /// As JSON, the way the mailer says it
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back, one or all
    Replay(ReplayWanted),
    /// Place orders, and look whether each left its trace, its log lines, its measurements and one e-mail
    Prove(ProveWanted),
    /// Place orders at a steady rate, good, declined and invalid ones; exit code 0 if each was answered as it must be
    Load(LoadWanted),
    /// Check whether rules, dashboards and documents fit together, and fit what the services say
    Check,
    /// Break something, see its alert arrive, mend it, and see the alert resolved
    Drill(DrillWanted),
    /// Break something without saying what
    Incident(IncidentWanted),
    /// Tell what the incident is and which query shows it, and mend it
    Answer,
    /// Place orders while there is an incident
    #[command(hide = true)]
    IncidentOrders {
        /// The gateway, such as http://127.0.0.1:3000
        #[arg(long)]
        gateway: String,
    },
    /// Serve as the local stack's trace backend
    #[command(hide = true)]
    TraceBackend {
        /// Where to receive OTLP over HTTP
        #[arg(long, default_value = "127.0.0.1:4318")]
        otlp: SocketAddr,
        /// Where to serve Jaeger's UI and query API
        #[arg(long, default_value = "127.0.0.1:16686")]
        ui: SocketAddr,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        // Who reads our output has seen enough, `head` for example.
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
        Command::Up { stack: Some(kind), .. } => return patiently(compose::up(&options, kind)).await,
        Command::Up { stack: None, free_ports } => {
            options.free_ports = free_ports;
            if !free_ports {
                compose::refuse_beside_docker(&options).await?;
            }
            let mut interruptions = Interruptions::new()?;
            tokio::select! {
                done = commands::up(&options) => done?,
                signal = interruptions.next() => {
                    // Its owner was dropped with the branch above, and that stopped it.
                    eprintln!("stacks: interrupted; {}", commands::after_interruption(&options));
                    return Ok(ExitCode::from(128 + signal.as_raw() as u8));
                }
            }
        }
        Command::Order => commands::order(&options).await?,
        Command::Down(wanted) if wanted.stack.is_some() => {
            return patiently(commands::down(&options, &wanted)).await;
        }
        Command::Down(wanted) => commands::down(&options, &wanted).await?,
        Command::Doctor { stack } => {
            let good = compose::doctor::doctor(&options, stack).await?;
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Status => {
            return Ok(if commands::status(&options).await? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Logs(wanted) => commands::logs(&options, &wanted).await?,
        Command::Trace(wanted) => commands::trace(&options, &wanted).await?,
        Command::DeadLetters { json } => dead_letters::list(&options, json).await?,
        Command::Replay(wanted) => dead_letters::replay(&options, &wanted).await?,
        Command::Prove(wanted) => {
            let proven = prove::run(&options, &wanted).await?;
            return Ok(if proven { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Load(wanted) => {
            let clean = load::run(&options, &wanted).await?;
            return Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Check => {
            let mut interruptions = Interruptions::new()?;
            let good = tokio::select! {
                good = check::run(&options) => good?,
                signal = interruptions.next() => {
                    // Its owner was dropped with the branch above, and that stopped it.
                    eprintln!("stacks: interrupted; what was started is stopped again");
                    return Ok(ExitCode::from(128 + signal.as_raw() as u8));
                }
            };
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Drill(wanted) => return drill::run(&options, &wanted).await,
        Command::Incident(wanted) => drill::begin(&options, &wanted).await?,
        Command::Answer => drill::answer(&options).await?,
        Command::IncidentOrders { gateway } => drill::place_orders(&gateway).await?,
        Command::TraceBackend { otlp, ui } => trace_backend::serve(otlp, ui).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Finishes what Docker is in the middle of before an interruption counts; a second one cuts it off.
async fn patiently(work: impl Future<Output = Result<()>>) -> Result<ExitCode> {
    let mut interruptions = Interruptions::new()?;
    let mut work = pin!(work);
    let signal = tokio::select! {
        done = &mut work => return done.map(|()| ExitCode::SUCCESS),
        signal = interruptions.next() => signal,
    };
    eprintln!("stacks: interrupted; this goes on until it is safe to stop, a second time cuts it off");
    tokio::select! {
        done = work => done?,
        _ = interruptions.next() => {}
    }
    Ok(ExitCode::from(128 + signal.as_raw() as u8))
}
