//! `stacks up --stack`: starts a Docker stack beside those that run.

use std::{collections::BTreeSet, time::Instant};

use anyhow::{Result, bail};

use super::{
    container::Container,
    credentials, doctor,
    engine::Engine,
    finding::Level,
    guide,
    plan::{self, Plan},
    start::start,
};
use crate::{
    console,
    local::{LocalStack, state},
    output::{refuse, show},
    progress::Progress,
    secrets,
    settings::Options,
    stack::{Stack, of_containers},
};

/// Starts a stack, and shows its links and logins.
///
/// # Errors
/// As [`bring_up`].
pub async fn up(options: &Options, stack: Stack) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let begun = Instant::now();
    let result = bring_up(options, stack, &mut progress).await;
    progress.failed();
    let plan = result?;
    // The stack runs, with or without a page about it.
    let console = console::start(options).await.unwrap_or_else(|error| {
        progress.note(&format!("! {error:#}"));
        None
    });
    progress.note(&format!("ready after {:.0} s", begun.elapsed().as_secs_f64()));
    show(&guide::text(&plan, console.as_deref())?)
}

/// Refuses the local stack while a Docker stack runs: both use the ports of the services.
///
/// # Errors
/// Names the stack, and the command that stops it.
pub async fn refuse_beside_docker(options: &Options) -> Result<()> {
    let Ok(root) = plan::root(&options.dir) else { return Ok(()) };
    let Ok(engine) = Engine::find(&root, &options.settings()?).await else { return Ok(()) };
    match of_containers(&root, &engine.containers().await?)?.first() {
        Some(other) => bail!("cannot start the local stack: {}", in_the_way(*other)),
        None => Ok(()),
    }
}

/// Starts a stack, and returns the plan of all stacks that run now.
///
/// # Errors
/// When something is in the way, or a service does not become ready.
pub async fn bring_up(options: &Options, stack: Stack, progress: &mut Progress) -> Result<Plan> {
    let root = plan::root(&options.dir)?;
    credentials::make_directory(&root.join("var"))?;
    let _lock = state::lock(&options.lock_file())?;

    progress.begin("check machine");
    let before = options.settings()?;
    let engine = Engine::find(&root, &before).await?;
    let containers = engine.containers().await?;
    engine.ensure_ours(&containers)?;
    let mut stacks = of_containers(&root, &containers)?;
    ensure_fits(stack, &stacks, options)?;
    stacks.insert(stack);
    let mut known = plan::placeholders();
    known.extend(before);
    let warnings = check_machine(&Plan::new(&root, &stacks, &known)?, &engine, &containers)?;
    progress.done(&format!("Docker {}, Compose {}", engine.info.server_version, engine.compose));
    warnings.iter().for_each(|warning| progress.note(&format!("! {warning}")));

    progress.begin("read settings");
    let written = secrets::complete(&root.join(".env"))?;
    let settings = options.settings()?;
    credentials::write(&root, &settings)?;
    progress.done(&secrets::written(written.len()));

    let plan = Plan::new(&root, &stacks, &settings)?;
    start(&engine, &plan, progress).await?;
    Ok(plan)
}

/// Refuses a stack that shares ports with one that runs.
fn ensure_fits(stack: Stack, running: &BTreeSet<Stack>, options: &Options) -> Result<()> {
    let local = LocalStack::open(options)?.runs().then_some(Stack::Local);
    let other = local.iter().chain(running).find(|other| !other.fits_beside(stack));
    match other {
        None => Ok(()),
        Some(other) => bail!("cannot start {}: {}", stack.facts().title, in_the_way(*other)),
    }
}

fn in_the_way(other: Stack) -> String {
    let facts = other.facts();
    format!("{} runs and uses the same ports; `{}` stops it, and its data stays", facts.title, facts.stop)
}

/// Refuses a machine that cannot run a plan; returns the warnings.
fn check_machine(plan: &Plan, engine: &Engine, containers: &[Container]) -> Result<Vec<String>> {
    let findings = doctor::before_start(plan, engine, containers)?;
    let of = |level| {
        let of_level = findings.iter().filter(move |finding| finding.level == level);
        of_level.map(|finding| finding.text.clone()).collect::<Vec<_>>()
    };
    refuse(&of(Level::Bad))?;
    Ok(of(Level::Doubtful))
}
