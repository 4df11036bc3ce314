//! What a person does on the page: places orders, breaks things, drills alerts, and takes dead letters out.

mod alerts;
mod drills;
mod failure;
mod letters;
mod orders;
mod parts;

use std::sync::Arc;

use axum::Router;

pub(super) use self::failure::Failure;
use super::shared::Shared;

/// The routes of all actions.
pub(super) fn routes(shared: &Arc<Shared>) -> Router {
    let groups = [alerts::routes, drills::routes, letters::routes, orders::routes, parts::routes];
    groups.into_iter().fold(Router::new(), |routes, group| routes.merge(group(shared)))
}
