//! Alerts that a person has acknowledged.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use axum::{Json, Router, extract::State, routing::post};
use serde::Deserialize;

use super::{super::shared::Shared, failure::Failure};

/// Alerts that are remembered, as many as the gateway's alert log has.
const MAX_ALERTS: usize = 200;
/// Characters of a fingerprint.
const MAX_FINGERPRINT: usize = 64;

/// When each alert was acknowledged: milliseconds since the Unix epoch, by fingerprint and time of its start.
#[derive(Default)]
struct Acknowledged(Mutex<BTreeMap<String, u64>>);

#[derive(Deserialize)]
struct Alert {
    key: String,
}

/// The routes of alerts.
pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    let state = (shared.clone(), Arc::<Acknowledged>::default());
    Router::new().route("/api/alerts/acknowledge", post(acknowledge)).with_state(state)
}

/// Acknowledges an alert, which changes nothing in the stack: a person has begun to work on it.
async fn acknowledge(
    State((shared, acknowledged)): State<(Arc<Shared>, Arc<Acknowledged>)>,
    Json(Alert { key }): Json<Alert>,
) -> Result<(), Failure> {
    if key.len() > MAX_FINGERPRINT {
        return Err(Failure::bad("this is no alert"));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut all = acknowledged.0.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(key).or_insert(now.as_millis() as u64);
    while all.len() > MAX_ALERTS {
        let oldest = all.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone());
        oldest.map(|key| all.remove(&key));
    }
    shared.hub.set("acknowledged", &*all);
    Ok(())
}
