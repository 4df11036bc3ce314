//! `stacks up --stack`: builds and starts what is missing, and waits until all of it is ready.

use std::{collections::BTreeSet, path::Path, time::Instant};

use anyhow::{Result, bail, ensure};

use super::{
    Kind, credentials,
    doctor::{self, Level},
    engine::{Container, Engine},
    guide,
    plan::{self, Plan},
    start::start,
    variables::Variables,
};
use crate::{
    commands::show,
    local::{Options, Stack, secrets, state},
    progress::Progress,
};

/// Brings a stack up, beside what runs already, and says where everything is.
pub async fn up(options: &Options, kind: Kind) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let begun = Instant::now();
    let result = bring_up(options, kind, &mut progress).await;
    progress.failed();
    let plan = result?;
    progress.note(&format!("ready after {:.0} s", begun.elapsed().as_secs_f64()));
    show(&guide::text(&plan)?)
}

/// Refuses the local stack where a Docker stack runs: both are the checkout, on the same ports.
pub async fn refuse_beside_docker(options: &Options) -> Result<()> {
    let Ok(root) = plan::root(&options.dir) else { return Ok(()) };
    let settings = settings(options, &root)?;
    let Ok(engine) = Engine::find(&root, &settings).await else { return Ok(()) };
    let kinds = running(&root, &engine.containers().await?)?;
    let Some(kind) = kinds.first() else { return Ok(()) };
    bail!(
        "the {} stack runs in Docker, on the same ports: `make down-{kind}` stops it, and its data stays",
        kind.title()
    )
}

/// The same without a word about where everything is.
pub async fn bring_up(options: &Options, kind: Kind, progress: &mut Progress) -> Result<Plan> {
    let root = plan::root(&options.dir)?;
    credentials::make_directory(&root.join("var"))?;
    let _lock = state::lock(&root.join("var/local.lock"))?;

    progress.begin("check");
    let before = settings(options, &root)?;
    let engine = Engine::find(&root, &before).await?;
    let containers = engine.containers().await?;
    ours(&root, &engine, &containers)?;
    let mut kinds = running(&root, &containers)?;
    if let Some(other) = kinds.iter().find(|other| !other.fits_beside(kind)) {
        bail!(
            "{} runs, and {} has services and ports in common with it: `make down-{other}` stops it, and its data stays",
            other.title(),
            kind.title()
        );
    }
    local_is_down(options)?;
    kinds.insert(kind);
    let mut known = plan::placeholders();
    known.extend(before);
    let doubts = look(&Plan::new(&root, &kinds, &known)?, &engine, &containers)?;
    progress.done(&format!("Docker {}, Compose {}", engine.info.server_version, engine.compose));
    doubts.iter().for_each(|doubt| progress.note(&format!("! {doubt}")));

    progress.begin("settings");
    let written = secrets::complete(&root.join(".env"))?;
    let settings = settings(options, &root)?;
    credentials::write(&root, &settings)?;
    progress.done(&match written.len() {
        0 => "as in .env".into(),
        count => format!("wrote {count} secrets to .env"),
    });

    let plan = Plan::new(&root, &kinds, &settings)?;
    start(&engine, &plan, progress).await?;
    Ok(plan)
}

/// Which stacks run, by services that only they have.
pub(super) fn running(root: &Path, containers: &[Container]) -> Result<BTreeSet<Kind>> {
    let mut kinds = BTreeSet::new();
    for kind in Kind::ALL {
        let signs = plan::signs(root, kind)?;
        if containers.iter().any(|container| container.runs() && signs.contains(&container.service)) {
            kinds.insert(kind);
        }
    }
    Ok(kinds)
}

/// The settings: those in `.env`, and the caller's environment over them. Empty counts as not there.
pub(super) fn settings(options: &Options, root: &Path) -> Result<Variables> {
    let mut settings = secrets::read(&root.join(".env"))?;
    settings.extend(options.env.clone());
    settings.retain(|_, value| !value.is_empty());
    Ok(settings)
}

/// Two checkouts would take each other's containers for their own.
fn ours(root: &Path, engine: &Engine, containers: &[Container]) -> Result<()> {
    let others = containers.iter().filter(|container| container.runs()).filter_map(Container::working_dir);
    match others.into_iter().find(|dir| !dir.starts_with(root)) {
        None => Ok(()),
        Some(dir) => bail!(
            "the project {} runs from {}: `make down` there, or set COMPOSE_PROJECT_NAME here in .env",
            engine.project(),
            dir.display()
        ),
    }
}

fn local_is_down(options: &Options) -> Result<()> {
    let stack = Stack::open(options)?;
    let runs = stack.layout().components().any(|component| stack.process(component).is_some());
    ensure!(!runs, "the local stack runs, on the same ports: `make down` stops it, and its data stays");
    Ok(())
}

/// Refuses what can't work; what may not is returned.
fn look(plan: &Plan, engine: &Engine, containers: &[Container]) -> Result<Vec<String>> {
    let findings = doctor::before_start(plan, engine, containers)?;
    let of = |level| {
        findings.iter().filter(move |finding| finding.level == level).map(|finding| finding.text.clone())
    };
    let bad: Vec<String> = of(Level::Bad).collect();
    match bad.as_slice() {
        [] => Ok(of(Level::Doubtful).collect()),
        [one] => bail!("{one}"),
        many => {
            bail!("{} things stand in the way, nothing was started:\n  {}", many.len(), many.join("\n  "))
        }
    }
}
