//! `stacks down`: stops one Docker stack, or all of them.

use anyhow::{Result, bail};

use super::{
    engine::{Engine, is_installed},
    plan::{self, Plan},
    start::start,
};
use crate::{
    console,
    local::state,
    progress::Progress,
    settings::Options,
    stack::{Stack, of_containers},
};

/// Said when the last stack has been stopped.
const VOLUMES_STAY: &str = "the data stays in named volumes; `make clean` removes them, after asking";

/// Stops one stack. The services stop with the last one; before, they are told which stack is left.
///
/// # Errors
/// When the stack does not run, or Docker fails.
pub async fn down(options: &Options, stack: Stack, progress: &mut Progress) -> Result<()> {
    let root = plan::root(&options.dir)?;
    let settings = options.settings()?;
    let engine = Engine::find(&root, &settings).await?;
    let _lock = state::lock(&options.lock_file())?;
    let mut stacks = of_containers(&root, &engine.containers().await?)?;
    let title = stack.facts().title;
    if !stacks.remove(&stack) {
        bail!("{title} does not run");
    }
    if stacks.is_empty() {
        remove(&engine, progress).await?;
        console::stop(options)?;
        progress.note(VOLUMES_STAY);
        return Ok(());
    }
    let plan = Plan::new(&root, &stacks, &settings)?;
    start(&engine, &plan, progress).await?;
    progress.note(&format!("{title} is stopped, its data stays; {} runs on", plan.titles()));
    Ok(())
}

/// Stops every Docker stack, and removes the volumes if `volumes`; true if there was anything to stop or remove.
///
/// # Errors
/// When Docker fails; its absence is no error.
pub async fn down_all(options: &Options, volumes: bool, progress: &mut Progress) -> Result<bool> {
    console::stop(options)?;
    let Ok(root) = plan::root(&options.dir) else { return Ok(false) };
    let settings = options.settings()?;
    if !is_installed().await {
        return Ok(false);
    }
    let engine = match Engine::find(&root, &settings).await {
        Ok(engine) => engine,
        Err(error) => {
            progress.note(&format!("cannot check for Docker stacks: {error}"));
            return Ok(false);
        }
    };
    let containers = engine.containers().await?;
    engine.ensure_ours(&containers)?;
    let runs = !containers.is_empty();
    if runs {
        remove(&engine, progress).await?;
    }
    let removed = if volumes { engine.remove_volumes().await? } else { 0 };
    if removed > 0 {
        progress.note(&format!("removed {removed} volumes of the Docker stacks"));
    } else if runs {
        progress.note(VOLUMES_STAY);
    }
    Ok(runs || removed > 0)
}

async fn remove(engine: &Engine, progress: &mut Progress) -> Result<()> {
    progress.begin("stop containers");
    engine.remove_containers(|line| progress.waiting(line.chars().take(80).collect())).await?;
    progress.done("removed");
    Ok(())
}
