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

mod campaign;
mod catalogue;
mod checker;
mod evidence;
mod history;
mod load;
mod mutants;
mod nemesis;
mod plan;
mod proxy;
mod rabbit;
mod report;
mod system;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use uuid::Uuid;

use self::{
    campaign::Campaign,
    catalogue::{FAULTS, Named},
    mutants::{MUTANTS, Mutant},
    nemesis::Fault,
    report::Row,
    system::System,
};
use stacks::{progress::Progress, settings::Options, style::Style};

/// Orders that are accepted during each fault, and where it has to be quick or there is a bug to be shown.
const ORDERS: (usize, usize) = (250, 60);

/// Which faults are asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct FaultsWanted {
    /// This fault alone; can be given several times [default: all]
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// Repeats the schedule of an earlier run [default: a new one, which is shown]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Orders that are accepted during each fault, at least [default: 250, or 60 for --quick and --mutants]
    #[arg(long, value_name = "N")]
    pub orders: Option<usize>,
    /// A few faults and a few mutants
    #[arg(long)]
    pub quick: bool,
    /// Give the services bugs instead, and see whether the checker catches each of them
    #[arg(long)]
    pub mutants: bool,
    /// This bug alone, without a run that lacks it
    #[arg(long = "bug", value_name = "NAME", conflicts_with = "faults")]
    pub bugs: Vec<String>,
    /// Where to write the rows
    #[arg(long, default_value = "target/faults.json", value_name = "FILE")]
    pub report: PathBuf,
    /// List the faults
    #[arg(long)]
    pub list: bool,
}

/// Runs what is wanted; whether everything was as it must be.
pub async fn run(options: &Options, wanted: &FaultsWanted) -> Result<bool> {
    if wanted.list {
        let names: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
        show(&(names.join("\n") + "\n"))?;
        return Ok(true);
    }
    let faults = chosen_faults(wanted)?;
    let seed = wanted.seed.unwrap_or_else(|| Uuid::new_v4().as_u128() as u64 >> 16);
    let dir = std::env::temp_dir().join(format!("omnitrace-faults-{}", Uuid::new_v4().simple()));
    std::fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut progress = Progress::for_terminal();
    let begun = Instant::now();
    progress.note(&format!("seed {seed}"));
    let good = breaks(options, wanted, &faults, seed, &dir, &mut progress).await;
    progress.note(&format!("{:.0} s; SEED={seed} repeats the schedule", begun.elapsed().as_secs_f64()));
    match good {
        Ok(true) => {
            std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?
        }
        _ => progress.note(&format!("what the services wrote stays in {}", dir.display())),
    }
    good
}

async fn breaks(
    options: &Options,
    wanted: &FaultsWanted,
    faults: &[Named],
    seed: u64,
    dir: &Path,
    progress: &mut Progress,
) -> Result<bool> {
    progress.begin("system");
    let system = System::start(dir, options.binaries.clone(), &options.env).await?;
    progress.done("three services, RabbitMQ, a mail server");
    let mutants = chosen_mutants(wanted)?;
    let usual = if mutants.is_empty() { ORDERS.0 } else { ORDERS.1 };
    let mut campaign = Campaign::new(system, seed, wanted.orders.unwrap_or(usual));
    let mut rows = Vec::new();
    for named in faults {
        if matches!(named.1, Fault::DiskFull) && !rustix::process::geteuid().is_root() {
            progress.note("disk-full is left out: only root can mount a small file system to fill");
            continue;
        }
        rows.push(staged(progress, named.0, campaign.run(*named)).await?);
    }
    rows.extend(campaign.afterwards());
    let mut good = rows.iter().all(Row::is_good);
    if !rows.is_empty() {
        show(&report::table(&rows, Style::for_stdout()))?;
        report::write(&rows, &wanted.report)?;
    }
    good &= catches(&mut campaign, &mutants, progress).await?;
    Ok(good)
}

/// Runs the mutants; whether all of them were caught.
async fn catches(campaign: &mut Campaign, mutants: &[&Mutant], progress: &mut Progress) -> Result<bool> {
    let mut caught = 0;
    for mutant in mutants {
        let fault = catalogue::find(mutant.fault).context("a mutant without a fault")?;
        let row = staged(progress, mutant.bug, campaign.run_mutant(mutant, fault)).await?;
        caught += usize::from(!row.is_good());
        let seen = row.violations.first().map_or("NOT CAUGHT", String::as_str);
        show(&format!("{:<30} {:<25} {seen}\n", mutant.bug, mutant.fault))?;
    }
    if !mutants.is_empty() {
        show(&format!("{caught} of {} mutants caught\n", mutants.len()))?;
    }
    Ok(caught == mutants.len())
}

async fn staged(progress: &mut Progress, name: &str, run: impl Future<Output = Result<Row>>) -> Result<Row> {
    progress.begin(name);
    let row = run.await.inspect_err(|_| progress.failed())?;
    progress.done(&row.brief());
    Ok(row)
}

fn chosen_faults(wanted: &FaultsWanted) -> Result<Vec<Named>> {
    let is_chosen = |(name, _): &&Named| match wanted {
        FaultsWanted { faults, .. } if !faults.is_empty() => faults.iter().any(|one| one == name),
        FaultsWanted { bugs, .. } if !bugs.is_empty() => false,
        // What is caught with a bug must be good without it.
        FaultsWanted { mutants: true, .. } => MUTANTS.iter().any(|mutant| mutant.fault == *name),
        FaultsWanted { quick: true, .. } => catalogue::QUICK.contains(name),
        _ => true,
    };
    let unknown = wanted.faults.iter().find(|name| catalogue::find(name).is_none());
    if let Some(unknown) = unknown {
        bail!("there is no fault `{unknown}`; `trials faults --list` names them");
    }
    Ok(FAULTS.iter().filter(is_chosen).copied().collect())
}

fn chosen_mutants(wanted: &FaultsWanted) -> Result<Vec<&'static Mutant>> {
    let is_chosen = |mutant: &&Mutant| match wanted {
        FaultsWanted { bugs, .. } if !bugs.is_empty() => bugs.iter().any(|one| one == mutant.bug),
        FaultsWanted { mutants: true, .. } => true,
        FaultsWanted { quick: true, faults, .. } => faults.is_empty() && mutants::QUICK.contains(&mutant.bug),
        _ => false,
    };
    let unknown = wanted.bugs.iter().find(|bug| !MUTANTS.iter().any(|mutant| mutant.bug == **bug));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = MUTANTS.iter().map(|mutant| mutant.bug).collect();
        bail!("there is no bug `{unknown}`; there are {}", known.join(", "));
    }
    Ok(MUTANTS.iter().filter(is_chosen).collect())
}

fn show(text: &str) -> Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}
