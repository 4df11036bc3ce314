//! Simulations, and components that are stopped and started.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::post,
};
use reqwest::Method;
use serde_json::Value;

use super::{
    super::{
        live::{components, refresh as ask, show_components},
        shared::Shared,
    },
    failure::Failure,
};
use crate::{
    compose::{engine::Engine, plan},
    local::{LocalStack, layout::Component, state},
    progress::Progress,
    stack::operator::{self, Asked, Service},
};

/// The routes of simulations and components.
pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/api/simulation/{service}", post(simulate))
        .route("/api/components/{name}/start", post(start))
        .route("/api/components/{name}/stop", post(stop))
        .with_state(shared.clone())
}

/// Sets the simulation of a service; what is left out is as the settings say.
async fn simulate(
    State(shared): State<Arc<Shared>>,
    Path(service): Path<String>,
    Json(knobs): Json<Value>,
) -> Result<Json<Value>, Failure> {
    let service =
        Service::simulated(&service).ok_or_else(|| Failure::bad("this service simulates nothing"))?;
    let places = shared.places()?;
    let asked = Asked { body: Some(&knobs), ..Asked::to_change(service, Method::PUT, &["simulation"]) };
    let knobs = operator::ask(&places, asked).await?;
    ask(&shared, "simulation").await;
    Ok(Json(knobs))
}

/// Starts a component, and waits until it is ready.
async fn start(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Result<(), Failure> {
    change(shared, name, true).await
}

/// Stops a component.
async fn stop(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Result<(), Failure> {
    change(shared, name, false).await
}

async fn change(shared: Arc<Shared>, name: String, to_run: bool) -> Result<(), Failure> {
    let parts = components(&shared).await?;
    let part = parts.iter().find(|part| part.name == name && part.can_stop);
    part.ok_or_else(|| Failure::bad("the console cannot stop and start this component"))?;
    // A page that goes away must not leave a component half started.
    let changed = tokio::spawn(async move {
        let changed = change_part(&shared, &name, to_run).await;
        show_components(&shared).await;
        changed
    });
    Ok(changed.await.context("the change broke off")??)
}

async fn change_part(shared: &Shared, name: &str, to_run: bool) -> Result<()> {
    let options = &shared.options;
    let _lock = state::lock(&options.lock_file())?;
    let mut stack = LocalStack::open(options)?;
    if !stack.runs() {
        let engine = Engine::find(&plan::root(&options.dir)?, &options.settings()?).await?;
        return engine.control(&[if to_run { "start" } else { "stop" }, name]).await;
    }
    let component = Component::ALL.into_iter().find(|component| component.name() == name);
    let component = component.with_context(|| format!("cannot find the component {name}"))?;
    if to_run {
        let started = stack.start(component, &mut Progress::silent()).await;
        stack.leave_running();
        return started;
    }
    tokio::task::spawn_blocking(move || stack.stop(component)).await?.map(drop)
}
