//! `stacks down`.

use anyhow::Result;

use crate::{compose, local::LocalStack, progress::Progress, settings::Options, stack::Stack};

/// What to stop, and whether its data goes with it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DownArgs {
    /// Only this Docker stack [default: every stack]
    #[arg(long, value_name = "STACK", value_parser = Stack::docker_parser())]
    pub stack: Option<Stack>,
    /// Remove the volumes of the Docker stacks, too: their data is lost
    #[arg(long, conflicts_with = "stack")]
    pub volumes: bool,
}

/// Stops everything that was started in this directory, or one Docker stack.
///
/// # Errors
/// When the named stack does not run, or a component cannot be stopped.
pub async fn down(options: &Options, args: &DownArgs) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let result = stop(options, args, &mut progress).await;
    progress.failed();
    result
}

async fn stop(options: &Options, args: &DownArgs, progress: &mut Progress) -> Result<()> {
    if let Some(stack) = args.stack {
        return compose::down(options, stack, progress).await;
    }
    let local = LocalStack::open(options)?.down(progress)? > 0;
    let docker = compose::down_all(options, args.volumes, progress).await?;
    progress.note(match (local, docker) {
        (false, false) => "nothing is running",
        (true, _) => "everything is stopped; data stays in var/, logs in logs/",
        (false, true) => "everything is stopped",
    });
    Ok(())
}
