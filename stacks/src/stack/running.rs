//! Which stacks run: a stack does if a component or a container of it does.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;

use super::{places::Places, table::Stack};
use crate::{
    compose::{
        container::Container,
        engine::Engine,
        plan::{self, own_services},
    },
    settings::Options,
};

/// The stacks that run. The local stack of the directory is found without Docker, which then is not asked.
pub(crate) async fn running(options: &Options, places: &Places) -> Result<BTreeSet<Stack>> {
    if places.local.runs() { Ok([Stack::Local].into()) } else { in_docker(options, places).await }
}

/// The Docker stacks that run.
///
/// # Errors
/// When Docker's answer cannot be read.
pub(super) async fn in_docker(options: &Options, places: &Places) -> Result<BTreeSet<Stack>> {
    let found = match plan::root(&options.dir) {
        Ok(root) => match Engine::find(&root, &options.settings()?).await {
            Ok(engine) => of_containers(&root, &engine.containers().await?)?,
            Err(_) => BTreeSet::new(),
        },
        Err(_) => BTreeSet::new(),
    };
    if found.is_empty() { answering(places).await } else { Ok(found) }
}

/// The stacks of these containers. A stack runs if a service runs that no other stack has.
pub(crate) fn of_containers(root: &Path, containers: &[Container]) -> Result<BTreeSet<Stack>> {
    let mut found = BTreeSet::new();
    for stack in Stack::docker() {
        let own = own_services(root, stack)?;
        if containers.iter().any(|container| container.runs() && own.contains(&container.service)) {
            found.insert(stack);
        }
    }
    Ok(found)
}

/// The stacks whose sign answers, even with an error: for stacks that were not started by this Docker.
async fn answering(places: &Places) -> Result<BTreeSet<Stack>> {
    let mut found = BTreeSet::new();
    for stack in Stack::docker() {
        let Some(sign) = stack.facts().sign else { continue };
        if places.client.get(places.url(sign)?).send().await.is_ok() {
            found.insert(stack);
        }
    }
    Ok(found)
}
