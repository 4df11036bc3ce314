//! `trials faults`: breaks the real system under load, in every way that `catalogue` lists, and judges from
//! outside whether anything that was accepted was lost or done twice.
//!
//! ```text
//!  clients ──► gateway ──► payment ──► fault proxy ──► RabbitMQ ──► fault proxy ──► mailer ──► mail server
//!     │            ▲          ▲             ▲             ▲                           ▲            ▲    │
//!     │            └──────────┴─────────────┴── Nemesis ──┴───────────────────────────┴────────────┘    │
//!     └────────────► History ◄── orders, logs, metrics, queues, processes ◄─────────────────────────────┘
//!                       └──► checker ──► Row
//! ```
//!
//! The seed decides who orders what, what is broken when, and for how long; how the processes interleave it can't.

pub(crate) mod catalogue;
pub(crate) mod checker;
mod databases;
mod disk;
mod evidence;
pub(crate) mod fault;
pub(crate) mod history;
mod library;
pub(crate) mod load;
mod nemesis;
pub(crate) mod peaks;
mod plan;
mod rabbit;
mod replica;
pub(crate) mod report;
pub(crate) mod rounds;
mod scene;
mod seen;
pub(crate) mod system;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use stacks::{output::show, progress::Progress, settings::Options, style::Style};

use self::{
    catalogue::{FAULTS, Named},
    fault::Fault,
    load::Pace,
    report::Row,
    rounds::{Conditions, Rounds},
    system::System,
};
use crate::{directory::Directory, report::write, seed};

/// Orders that are accepted during each fault, and during each of the quick ones.
const ORDERS: (usize, usize) = (250, 60);
/// How long the system may take to finish what it has accepted.
/// A service waits for up to a minute before it connects to the broker again.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Which faults are asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct FaultsArgs {
    /// This fault alone; can be given several times [default: all]
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// Repeats the schedule of an earlier run [default: a new one, which is shown]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Orders that are accepted during each fault, at least [default: 250, or 60 with --quick]
    #[arg(long, value_name = "N")]
    pub orders: Option<usize>,
    /// The few that `make test` runs
    #[arg(long)]
    pub quick: bool,
    /// Where to write the rows
    #[arg(long, default_value = "target/faults.json", value_name = "FILE")]
    pub report: PathBuf,
    /// List the faults
    #[arg(long)]
    pub list: bool,
}

/// Runs the faults; true if nothing was wrong under any of them.
///
/// # Errors
/// When the system cannot be started, broken or healed.
pub async fn run(options: &Options, args: &FaultsArgs) -> Result<bool> {
    let faults = chosen(args)?;
    if args.list {
        show(&faults.iter().map(|(name, _)| format!("{name}\n")).collect::<String>())?;
        return Ok(true);
    }
    let mut progress = Progress::for_terminal();
    let (seed, begun) = (seed::choose(args.seed, &mut progress), Instant::now());
    let dir = Directory::new("faults")?;
    let good = inflict(options, args, &faults, seed, dir.path(), &mut progress).await;
    progress.note(&format!("{:.0} s; SEED={seed} repeats the schedule", begun.elapsed().as_secs_f64()));
    match good {
        Ok(true) => dir.remove()?,
        _ => progress.note(&format!("the files of the services stay in {}", dir.path().display())),
    }
    good
}

async fn inflict(
    options: &Options,
    args: &FaultsArgs,
    faults: &[Named],
    seed: u64,
    dir: &Path,
    progress: &mut Progress,
) -> Result<bool> {
    progress.begin("system");
    let system = System::start(dir, options.binaries.clone(), &options.env).await?;
    progress.done("three services, RabbitMQ, a mail server");
    let orders = args.orders.unwrap_or(if args.quick { ORDERS.1 } else { ORDERS.0 });
    let mut rounds = Rounds::new(system, seed, conditions(orders, MAX_WAIT));
    let mut rows = Vec::new();
    for named in faults {
        if matches!(named.1, Fault::DiskFull | Fault::DiskHangs) && !rustix::process::geteuid().is_root() {
            progress.note(&format!("{} is left out: only root can mount a small disk", named.0));
            continue;
        }
        progress.begin(named.0);
        let row = rounds.run(*named).await.inspect_err(|_| progress.failed())?;
        progress.done(&row.brief());
        rows.push(row);
    }
    rows.extend(rounds.afterwards());
    show(&report::table(&rows, Style::for_stdout()))?;
    write(&rows, &args.report)?;
    Ok(rows.iter().all(Row::is_good))
}

/// The load of the fault tests: a few clients, so that each bug that one of them meets can be traced.
pub(crate) fn conditions(orders: usize, patience: Duration) -> Conditions {
    Conditions { pace: Pace { clients: 16, rate: 80.0 }, pause: 0..1, orders, patience }
}

fn chosen(args: &FaultsArgs) -> Result<Vec<Named>> {
    let unknown = args.faults.iter().find(|name| catalogue::find(name).is_none());
    if let Some(unknown) = unknown {
        bail!("there is no fault `{unknown}`; `trials faults --list` names them");
    }
    let is_chosen = |(name, _): &&Named| match args.faults.as_slice() {
        [] => !args.quick || catalogue::QUICK.contains(name),
        names => names.iter().any(|one| one == name),
    };
    Ok(FAULTS.iter().filter(is_chosen).copied().collect())
}
