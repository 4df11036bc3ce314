//! Starts a plan: Compose creates the containers, and each one is watched until it is ready.

use std::{
    pin::{Pin, pin},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use futures_util::future::{self, Fuse, FusedFuture as _, FutureExt as _};
use reqwest::Client;

use super::{container::Container, engine::Engine, plan::Plan, service::Service};
use crate::{http, progress::Progress};

/// The time in which a service must become ready once its needs are: Kibana takes minutes on a small machine.
const MAX_START: Duration = Duration::from_secs(360);
/// The state of a container that has ended and is about to be started again.
const RESTARTING: &str = "restarting";
/// The time for which a service may crash: after that it is not going to stop crashing.
const MAX_CRASHING: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// Pulls, builds and starts what is missing of a plan, removes containers that are not in it, and waits until all services
/// are ready.
///
/// # Errors
/// Names every service that failed, with its last words.
pub(super) async fn start(engine: &Engine, plan: &Plan, progress: &mut Progress) -> Result<()> {
    pull(engine, plan, progress).await?;
    progress.begin("build images");
    engine.compose(plan, &["build"], |line| progress.waiting(brief(line))).await?;
    progress.done("gateway, payment, mailer");

    let containers = engine.containers().await?;
    let runs = |name: &str| containers.iter().any(|container| container.runs() && container.service == name);
    let (running, new): (Vec<_>, Vec<_>) = plan.in_order().into_iter().partition(|(name, _)| runs(name));
    let up = ["up", "--detach", "--no-build"];
    let all = [&up[..], &["--remove-orphans"]].concat();
    if running.is_empty() {
        return create(engine, plan, &all, &new, progress).await;
    }
    // New services first: if one fails, the running ones have not been touched.
    if !new.is_empty() {
        let names: Vec<&str> = new.iter().map(|(name, _)| *name).collect();
        create(engine, plan, &[&up[..], &names].concat(), &new, progress).await?;
    }
    progress.begin("apply changes");
    engine.compose(plan, &all, |line| progress.waiting(brief(line))).await?;
    progress.done("running services are up to date");
    for (name, service) in running {
        watch(engine, name, service, progress, pin!(future::ready(Ok(())).fuse())).await?;
    }
    Ok(())
}

/// Pulls the images that are not on this machine. Compose's own policy `missing` pulls the tag `latest` all the same.
async fn pull(engine: &Engine, plan: &Plan, progress: &mut Progress) -> Result<()> {
    progress.begin("pull images");
    let mut missing = Vec::new();
    for (name, service) in plan.project.services.iter().filter(|(_, service)| service.build.is_none()) {
        if !engine.has_image(&service.image).await? {
            missing.push(name.as_str());
        }
    }
    if !missing.is_empty() {
        let pull = [&["pull", "--policy", "missing", "--ignore-buildable"], &missing[..]].concat();
        let pulled = engine.compose(plan, &pull, |line| progress.waiting(brief(line))).await;
        pulled
            .context("cannot pull an image; NAME_IMAGE in .env names another, RABBITMQ_IMAGE for example")?;
    }
    progress.done(&format!("{} pulled", missing.len()));
    Ok(())
}

/// Has Compose create services, and shows one after the other becoming ready meanwhile.
async fn create(
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
    let error = explained(error, engine, plan, progress).await;
    bail!("{error:#}\nthe other services run on: `make down` stops them, and their data stays")
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
    progress.begin(&format!("start {name}"));
    let begun = Instant::now();
    while let Err(reason) = ready(engine, &client, name, service).await? {
        let limit = if reason == RESTARTING { MAX_CRASHING } else { MAX_START };
        ensure!(
            begun.elapsed() <= limit,
            "cannot start {name}: {reason} after {} s",
            begun.elapsed().as_secs()
        );
        progress.waiting(reason);
        tokio::select! {
            done = &mut up, if !up.is_terminated() => done?,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    let address = service.published()?.first().map(|port| format!("on {}", port.host));
    progress.done(&address.unwrap_or_else(|| if service.is_job() { "done" } else { "ready" }.to_owned()));
    Ok(())
}

/// An error with every service that has failed and its last words; the progress line names those services, too.
async fn explained(error: Error, engine: &Engine, plan: &Plan, progress: &mut Progress) -> Error {
    let text = format!("{error:#}");
    let containers = engine.containers().await.unwrap_or_default();
    // Compose names a container, and `watch` the service that it waited for.
    let is_named =
        |name: &str| text.contains(&format!("-{name}-1")) || text.contains(&format!("start {name}:"));
    let has_failed = |name: &str, service: &Service| {
        containers.iter().any(|container| container.service == name && has_failed(container, service))
    };
    let mut failed: Vec<&str> = Vec::new();
    for (name, service) in &plan.project.services {
        if has_failed(name, service) {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        failed.extend(plan.project.services.keys().map(String::as_str).filter(|name| is_named(name)));
    }
    if !failed.is_empty() {
        progress.rename(&format!("start {}", failed.join(", ")));
    }
    let mut words = String::new();
    for name in failed {
        words += &format!("\n{name}: {}", engine.last_words(name).await);
    }
    anyhow!("{text}{words}")
}

/// True if a container has ended, crashes again and again, or is unhealthy.
fn has_failed(container: &Container, service: &Service) -> bool {
    match &*container.state {
        "exited" | "dead" => !service.is_job() || container.exit_code != 0,
        RESTARTING => true,
        _ => container.health == "unhealthy",
    }
}

/// Ok if a service can be used, otherwise the reason; an error if it never will be.
async fn ready(
    engine: &Engine,
    client: &Client,
    name: &str,
    service: &Service,
) -> Result<Result<(), String>> {
    // Compose fails while a container is being replaced.
    let containers = match engine.containers().await {
        Ok(containers) => containers,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let Some(container) = containers.iter().find(|container| container.service == name) else {
        return Ok(Err("waits for the services that it needs".into()));
    };
    if service.is_job() && container.state == "exited" {
        ensure!(container.exit_code == 0, "cannot start {name}: exit code {}", container.exit_code);
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
