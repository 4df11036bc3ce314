//! What happens now: orders as the log lines tell them, metrics as the services show them, and the components.
//!
//! Log lines are the only feed: they say, too, when alerts, simulations and dead letters have changed and are to be asked
//! for. So the console leaves no trace of its own in the telemetry that it shows.

mod board;
mod components;
mod feed;
mod metrics;
mod order;
mod quantile;
mod sampler;
mod state;

use std::sync::Arc;

pub(super) use self::{
    components::{components, show as show_components},
    feed::refresh,
    state::Live,
};
use super::shared::Shared;

/// Follows the stack until the process ends.
pub(super) fn follow(shared: &Arc<Shared>, live: &Arc<Live>) {
    tokio::spawn(feed::follow(shared.clone(), live.clone()));
    tokio::spawn(sampler::follow(shared.clone(), live.clone()));
    tokio::spawn(components::follow(shared.clone()));
}
