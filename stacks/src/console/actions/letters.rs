//! Dead letters that are replayed or discarded.

use std::sync::Arc;

use anyhow::Result;
use axum::{Json, Router, extract::State, routing::post};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::{
    super::{live::refresh, shared::Shared},
    failure::Failure,
};
use crate::stack::operator::{self, Asked, Service};

/// The event of one dead letter; all of them if none is named.
#[derive(Deserialize)]
struct Selected {
    event: Option<String>,
}

/// The routes of dead letters.
pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/api/dead-letters/replay", post(replay))
        .route("/api/dead-letters/discard", post(discard))
        .with_state(shared.clone())
}

/// Replays dead letters.
async fn replay(
    State(shared): State<Arc<Shared>>,
    Json(Selected { event }): Json<Selected>,
) -> Result<Json<Value>, Failure> {
    let path: Vec<&str> = ["dead-letters"].into_iter().chain(event.as_deref()).chain(["replay"]).collect();
    change(&shared, Method::POST, &path).await
}

/// Discards dead letters.
async fn discard(
    State(shared): State<Arc<Shared>>,
    Json(Selected { event }): Json<Selected>,
) -> Result<Json<Value>, Failure> {
    let path: Vec<&str> = ["dead-letters"].into_iter().chain(event.as_deref()).collect();
    change(&shared, Method::DELETE, &path).await
}

async fn change(shared: &Shared, method: Method, path: &[&str]) -> Result<Json<Value>, Failure> {
    let changed = operator::ask(&shared.places()?, Asked::to_change(Service::Mailer, method, path)).await?;
    refresh(shared, "letters").await;
    Ok(Json(changed))
}
