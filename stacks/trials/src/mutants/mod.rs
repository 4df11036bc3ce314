//! `trials mutants`: gives the services one bug after the other and checks that each is caught.
//!
//! ```text
//!  patches ──► batches ──► copy of the tree ──► cargo ──► binaries ──► fault tests or `stacks prove` ──► caught?
//! ```

mod batch;
mod patch;
mod proof;
mod subject;
mod tree;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use stacks::{output::show, progress::Progress, settings::Options};

use self::{batch::batches, patch::Patch, subject::Subject, tree::Tree};
use crate::{directory::Directory, report, seed};

/// Which mutants are asked for.
#[derive(Clone, Debug, clap::Args)]
pub struct MutantsArgs {
    /// This mutant alone; can be given several times [default: all]
    #[arg(long = "mutant", value_name = "NAME")]
    pub mutants: Vec<String>,
    /// The few that `make test` runs
    #[arg(long)]
    pub quick: bool,
    /// Repeats the schedule of an earlier run [default: a new one, which is shown]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Where to write the rows
    #[arg(long, default_value = "target/mutants.json", value_name = "FILE")]
    pub report: PathBuf,
    /// List the mutants
    #[arg(long, conflicts_with = "check")]
    pub list: bool,
    /// Check that each patch applies, and run nothing
    #[arg(long)]
    pub check: bool,
}

/// What became of a mutant.
#[derive(Debug, Serialize)]
struct Row<'a> {
    mutant: &'a str,
    caught_by: &'static str,
    /// What was reported of it; nothing if it was not caught.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<String>,
}

/// Runs the mutants; true if each was caught.
///
/// # Errors
/// When a patch does not apply or compile, or the system cannot be started or broken.
pub async fn run(options: &Options, args: &MutantsArgs) -> Result<bool> {
    let patches = chosen(Patch::all(&options.dir)?, args)?;
    if args.list {
        let line = |patch: &Patch| line(&patch.name, patch.catcher.name(), &patch.description);
        show(&patches.iter().map(line).collect::<String>())?;
        return Ok(true);
    }
    check(&patches, &options.dir)?;
    if args.check {
        show(&format!("{} mutants apply\n", patches.len()))?;
        return Ok(true);
    }
    let begun = Instant::now();
    let mut progress = Progress::for_terminal();
    let seed = seed::choose(args.seed, &mut progress);
    let rows = catch(options, &patches, seed, &mut progress).await.inspect_err(|_| progress.failed())?;
    report::write(&rows, &args.report)?;
    let caught = rows.iter().filter(|row| row.report.is_some()).count();
    progress.note(&format!("{:.0} s; SEED={seed} repeats the schedule", begun.elapsed().as_secs_f64()));
    show(&format!("{caught} of {} mutants caught\n", rows.len()))?;
    Ok(caught == rows.len())
}

/// Names all patches that do not apply: one change of the code may concern several.
fn check(patches: &[Patch], root: &Path) -> Result<()> {
    let refused = patches.iter().filter_map(|patch| patch.apply(root, Some("--check")).err());
    let refused: Vec<String> = refused.map(|error| error.to_string()).collect();
    ensure!(refused.is_empty(), "{}", refused.join("\n"));
    Ok(())
}

async fn catch<'a>(
    options: &Options,
    patches: &'a [Patch],
    seed: u64,
    progress: &mut Progress,
) -> Result<Vec<Row<'a>>> {
    progress.begin("copy");
    let target = options.binaries.parent().context("the binaries are in no directory of cargo's")?;
    let mut tree = Tree::copy(&options.dir, &options.binaries, &target.join("mutants"))?;
    progress.done("the tree, and what was built of it");
    let dir = Directory::new("mutants")?;
    progress.begin("system");
    let mut subject = Subject::start(options, dir.path(), seed).await?;
    progress.done("three services, RabbitMQ, a mail server");
    let mut rows = Vec::new();
    for batch in batches(patches) {
        progress.begin("build");
        let binaries = tree.build(&batch)?;
        progress.done(&batch.iter().map(|patch| patch.name.as_str()).collect::<Vec<_>>().join(", "));
        for patch in batch {
            progress.begin(&patch.name);
            let reports = subject.judge(patch, binaries).await?;
            let report = reports.into_iter().find(|report| report.contains(&patch.says));
            progress.done(report.as_deref().map_or("", |_| "caught"));
            let catcher = patch.catcher.name();
            show(&line(&patch.name, catcher, report.as_deref().unwrap_or("NOT CAUGHT")))?;
            rows.push(Row { mutant: &patch.name, caught_by: catcher, report });
        }
    }
    drop(subject);
    tree.remove()?;
    dir.remove()?;
    Ok(rows)
}

fn line(mutant: &str, catcher: &str, text: &str) -> String {
    format!("{mutant:<32} {catcher:<25} {text}\n")
}

fn chosen(patches: Vec<Patch>, args: &MutantsArgs) -> Result<Vec<Patch>> {
    let unknown = args.mutants.iter().find(|name| patches.iter().all(|patch| patch.name != **name));
    if let Some(unknown) = unknown {
        bail!("there is no mutant `{unknown}`; `trials mutants --list` names them");
    }
    let is_chosen = |patch: &Patch| match args.mutants.as_slice() {
        [] => patch.quick || !args.quick,
        names => names.contains(&patch.name),
    };
    Ok(patches.into_iter().filter(is_chosen).collect())
}
