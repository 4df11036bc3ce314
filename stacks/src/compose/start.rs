//! A plan put into practice: Compose starts the containers, and each is watched until it is ready.

use std::{
    pin::{Pin, pin},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use futures_util::future::{self, Fuse, FusedFuture as _, FutureExt as _};
use reqwest::Client;

use super::{engine::Engine, plan::Plan, service::Service};
use crate::{http, progress::Progress};

/// How long one service may take once those that it needs are ready: Kibana takes minutes on a small machine.
const PATIENCE: Duration = Duration::from_secs(360);
/// The state of a container that has ended, and is about to be started again.
const CRASHING: &str = "restarting";
/// Who still crashes after this time won't stop doing so.
const PATIENCE_WITH_CRASHES: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// Fetches, builds and starts what is missing of a plan, ends what is not in it, and waits until all is ready.
pub(super) async fn start(engine: &Engine, plan: &Plan, progress: &mut Progress) -> Result<()> {
    progress.begin("images");
    let pull = ["pull", "--policy", "missing", "--ignore-buildable"];
    let pulled = engine.compose(plan, &pull, |line| progress.waiting(brief(line))).await;
    pulled.context("an image can't be had; NAME_IMAGE in .env names another, RABBITMQ_IMAGE for example")?;
    progress.done("all here");
    progress.begin("build");
    engine.compose(plan, &["build"], |line| progress.waiting(brief(line))).await?;
    progress.done("gateway, payment, mailer");

    let containers = engine.containers().await?;
    let runs = |name: &str| containers.iter().any(|container| container.runs() && container.service == name);
    let (there, new): (Vec<_>, Vec<_>) = plan.in_order().into_iter().partition(|(name, _)| runs(name));
    let up = ["up", "--detach", "--no-build"];
    let all = [&up[..], &["--remove-orphans"]].concat();
    if there.is_empty() {
        return begin(engine, plan, &all, &new, progress).await;
    }
    // First what is new: should it fail, nothing that runs has been touched.
    if !new.is_empty() {
        let names: Vec<&str> = new.iter().map(|(name, _)| *name).collect();
        begin(engine, plan, &[&up[..], &names].concat(), &new, progress).await?;
    }
    progress.begin("changes");
    engine.compose(plan, &all, |line| progress.waiting(brief(line))).await?;
    progress.done("what runs is up to date");
    for (name, service) in there {
        watch(engine, name, service, progress, pin!(future::ready(Ok(())).fuse())).await?;
    }
    Ok(())
}

/// Lets Compose start services that did not run, and shows one after the other becoming ready meanwhile.
async fn begin(
    engine: &Engine,
    plan: &Plan,
    arguments: &[&str],
    services: &[(&str, &Service)],
    progress: &mut Progress,
) -> Result<()> {
    let mut up = pin!(engine.compose(plan, arguments, |_| {}).fuse());
    let mut watched = Ok(());
    for (name, service) in services {
        watched = watch(engine, name, service, progress, up.as_mut()).await;
        if watched.is_err() {
            break;
        }
    }
    // Compose must never be cut off: a container that it is about to replace would stay under another name.
    let finished = if up.is_terminated() { Ok(()) } else { up.await };
    let Err(error) = watched.and(finished) else { return Ok(()) };
    let error = explained(error, engine, plan).await;
    bail!("{error:#}\nwhat was started runs on: `make down` stops it, and its data stays")
}

/// Waits until a service is ready, and for Compose, which may fail before that.
async fn watch(
    engine: &Engine,
    name: &str,
    service: &Service,
    progress: &mut Progress,
    mut up: Pin<&mut Fuse<impl Future<Output = Result<()>>>>,
) -> Result<()> {
    let client = http::client()?;
    progress.begin(name);
    let begun = Instant::now();
    while let Err(reason) = ready(engine, &client, name, service).await? {
        let patience = if reason == CRASHING { PATIENCE_WITH_CRASHES } else { PATIENCE };
        if begun.elapsed() > patience {
            let words = engine.last_words(name).await;
            bail!("{name} is not ready after {} s: {reason}; {words}", begun.elapsed().as_secs());
        }
        progress.waiting(reason);
        tokio::select! {
            done = &mut up, if !up.is_terminated() => done?,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    let place = service.published()?.first().map(|port| format!("on {}", port.host));
    progress.done(&place.unwrap_or_else(|| if service.is_job() { "done" } else { "ready" }.to_owned()));
    Ok(())
}

/// What Compose says, with the last words of the service that it says it about.
async fn explained(error: Error, engine: &Engine, plan: &Plan) -> Error {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    let is_named = |name: &&String| last.contains(&format!("-{name}-1"));
    match plan.project.services.keys().filter(is_named).max_by_key(|name| name.len()) {
        Some(name) => anyhow!("{text}\n{name}: {}", engine.last_words(name).await),
        None => error,
    }
}

/// Whether a service can be used, or why not yet; an error when it never will be.
async fn ready(
    engine: &Engine,
    client: &Client,
    name: &str,
    service: &Service,
) -> Result<Result<(), String>> {
    // The question fails when a container is replaced while it is looked at.
    let containers = match engine.containers().await {
        Ok(containers) => containers,
        Err(error) => return Ok(Err(error.to_string())),
    };
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

fn brief(line: &str) -> String {
    line.chars().take(80).collect()
}
