//! `stacks down`: one stack, and then the rest goes on; or all of them.

use anyhow::{Result, bail};

use super::{
    Kind,
    engine::{Engine, is_installed},
    plan::{self, Plan},
    start::start,
    up::{running, settings},
};
use crate::{
    local::{Options, state},
    progress::Progress,
};

const STAYS: &str = "the data stays in named volumes; `make clean` removes them, after asking";

/// Stops one stack. With the last one the checkout stops, too; else the services are told who is left.
pub async fn down(options: &Options, kind: Kind, progress: &mut Progress) -> Result<()> {
    let root = plan::root(&options.dir)?;
    let settings = settings(options, &root)?;
    let engine = Engine::find(&root, &settings).await?;
    let _lock = state::lock(&root.join("var/local.lock"))?;
    let mut kinds = running(&root, &engine.containers().await?)?;
    if !kinds.remove(&kind) {
        bail!("{} does not run", kind.title());
    }
    if kinds.is_empty() {
        remove(&engine, progress).await?;
        progress.note(STAYS);
        return Ok(());
    }
    let plan = Plan::new(&root, &kinds, &settings)?;
    start(&engine, &plan, progress).await?;
    let left: Vec<&str> = kinds.iter().map(|kind| kind.title()).collect();
    progress.note(&format!("{} is stopped, its data stays; {} runs on", kind.title(), left.join(" and ")));
    Ok(())
}

/// Stops every Docker stack, and removes their data where that is wanted; tells whether there was anything to do.
/// Without Docker there is nothing to do.
pub async fn down_all(options: &Options, volumes: bool, progress: &mut Progress) -> Result<bool> {
    let Ok(root) = plan::root(&options.dir) else { return Ok(false) };
    let settings = settings(options, &root)?;
    if !is_installed().await {
        return Ok(false);
    }
    let engine = match Engine::find(&root, &settings).await {
        Ok(engine) => engine,
        Err(error) => {
            progress.note(&format!("Docker stacks were not looked for: {error}"));
            return Ok(false);
        }
    };
    let runs = !engine.containers().await?.is_empty();
    if runs {
        remove(&engine, progress).await?;
    }
    let removed = if volumes { engine.remove_volumes().await? } else { 0 };
    if removed > 0 {
        progress.note(&format!("removed {removed} volumes of the Docker stacks"));
    } else if runs {
        progress.note(STAYS);
    }
    Ok(runs || removed > 0)
}

async fn remove(engine: &Engine, progress: &mut Progress) -> Result<()> {
    progress.begin("containers");
    engine.remove_containers(|line| progress.waiting(line.chars().take(80).collect())).await?;
    progress.done("stopped and removed");
    Ok(())
}
