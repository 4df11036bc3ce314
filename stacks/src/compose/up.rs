//! `stacks up --stack`: builds and starts what is missing, and waits until all of it is ready.

use std::{
    collections::BTreeSet,
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Client;

use super::{
    Kind, credentials,
    doctor::{self, Level},
    engine::{Container, Engine},
    guide,
    plan::{self, Plan},
    service::Service,
    variables::Variables,
};
use crate::{
    commands::show,
    http,
    local::{Options, Stack, layout::link, secrets, state},
    progress::Progress,
};

/// How long one service may take once those that it needs are ready: Kibana takes minutes on a small machine.
const PATIENCE: Duration = Duration::from_secs(360);
const PAUSE: Duration = Duration::from_millis(500);

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

async fn bring_up(options: &Options, kind: Kind, progress: &mut Progress) -> Result<Plan> {
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
    let is_fresh = kinds.is_empty();
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
    start(&engine, &plan, is_fresh, progress).await?;
    Ok(plan)
}

/// Fetches, builds and starts what is missing of a plan, ends what is not in it, and waits until all is ready.
pub(super) async fn start(
    engine: &Engine,
    plan: &Plan,
    is_fresh: bool,
    progress: &mut Progress,
) -> Result<()> {
    progress.begin("images");
    let pull = engine.compose(plan, &["pull", "--policy", "missing", "--ignore-buildable"], |line| {
        progress.waiting(brief(line))
    });
    pull.await
        .context("an image can't be had; NAME_IMAGE in .env names another, RABBITMQ_IMAGE for example")?;
    progress.done("all here");
    progress.begin("build");
    engine.compose(plan, &["build"], |line| progress.waiting(brief(line))).await?;
    progress.done("gateway, payment, mailer");

    let client = http::client()?;
    let mut up = pin!(engine.compose(plan, &["up", "--detach", "--no-build", "--remove-orphans"], |_| {}));
    let mut is_up = false;
    for (name, service) in plan.in_order() {
        progress.begin(name);
        let begun = Instant::now();
        loop {
            let found = ready(engine, &client, name, service).await?;
            // Until Compose is done, what runs already may still be replaced.
            let reason = match found {
                Ok(()) if is_fresh || is_up => break,
                Ok(()) => "may be replaced".to_owned(),
                Err(reason) => reason,
            };
            if begun.elapsed() > PATIENCE {
                let words = engine.last_words(name).await;
                bail!(
                    "{name} is not ready after {} s: {reason}; {words}\nthe rest runs on: `make down` stops it",
                    PATIENCE.as_secs()
                );
            }
            progress.waiting(reason);
            tokio::select! {
                done = &mut up, if !is_up => {
                    if let Err(error) = done {
                        bail!("{error:#}\n{name}: {}\nwhat was started runs on: `make down` stops it", engine.last_words(name).await);
                    }
                    is_up = true;
                }
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        let place = service.published()?.first().map(|port| link(port.host));
        progress.done(&place.unwrap_or_else(|| if service.is_job() { "done" } else { "ready" }.to_owned()));
    }
    if !is_up {
        up.await?;
    }
    Ok(())
}

/// Whether a service can be used, or why not yet; an error when it never will be.
async fn ready(
    engine: &Engine,
    client: &Client,
    name: &str,
    service: &Service,
) -> Result<Result<(), String>> {
    let containers = engine.containers().await?;
    let Some(container) = containers.iter().find(|container| container.service == name) else {
        return Ok(Err("waits for those that it needs".into()));
    };
    if service.is_job() && container.state == "exited" {
        ensure!(container.exit_code == 0, "{name} has failed; {}", engine.last_words(name).await);
        return Ok(Ok(()));
    }
    if container.state != "running" || service.is_job() {
        return Ok(Err(container.state.clone()));
    }
    if let Some(url) = service.ready_url()? {
        return Ok(http::probe(client, &url).await);
    }
    Ok(match &*container.health {
        "healthy" => Ok(()),
        other => Err(other.to_owned()),
    })
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

fn brief(line: &str) -> String {
    line.chars().take(80).collect()
}
