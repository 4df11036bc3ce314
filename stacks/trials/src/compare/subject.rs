//! One stack, started anew beside whatever data there are: the local one in a directory of its own, a Docker stack as a
//! Compose project of its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::footprint::{self, Footprint};
use stacks::{
    compose,
    local::{LocalStack, layout::Component},
    logs::{self, Filter},
    progress::Progress,
    settings::{Options, bare},
    stack::{Backends, Stack},
};

/// The Compose project: its volumes are removed in the end, and those of the user's are other ones.
const PROJECT: &str = "omnitrace-compare";

/// A stack that is measured.
pub(super) struct Subject {
    kind: Stack,
    options: Options,
    stack: Option<LocalStack>,
    /// The directory of the local stack, and so dropped after it.
    dir: Option<TempDir>,
}

impl Subject {
    pub(super) fn new(options: &Options, kind: Stack) -> Result<Self> {
        let mut options = options.clone();
        let dir = match kind {
            Stack::Local => {
                let dir = tempfile::tempdir().context("cannot make a directory for the local stack")?;
                options.dir = dir.path().to_owned();
                options.free_ports = true;
                options.env = bare(&options.env);
                Some(dir)
            }
            _ => {
                options.env.insert("COMPOSE_PROJECT_NAME".into(), PROJECT.into());
                None
            }
        };
        Ok(Self { kind, options, stack: None, dir })
    }

    pub(super) fn kind(&self) -> Stack {
        self.kind
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Starts it without data and with everything built and fetched; how long until all of it is ready.
    pub(super) async fn start(&mut self, progress: &mut Progress) -> Result<Duration> {
        let Some(kind) = docker(self.kind) else {
            let begun = Instant::now();
            self.stack = Some(LocalStack::up(&self.options, progress).await?);
            return Ok(begun.elapsed());
        };
        // Once for the images, and once for the clock.
        compose::bring_up(&self.options, kind, progress).await?;
        compose::down_all(&self.options, true, progress).await?;
        let begun = Instant::now();
        compose::bring_up(&self.options, kind, progress).await?;
        Ok(begun.elapsed())
    }

    /// Looks for the log lines of a trace, as anybody would who was not there when they were written.
    pub(super) async fn lines(&self, backends: &Backends, trace: &str) -> Result<()> {
        match &self.stack {
            Some(stack) => logs::read(&stack.log_dir(), &Filter::trace(trace), None).map(drop),
            None => backends.logs.lines(&[trace]).await.map(drop),
        }
    }

    /// What it takes up now.
    pub(super) async fn footprint(&self) -> Result<Footprint> {
        match (&self.stack, &self.dir) {
            (Some(stack), Some(dir)) => {
                let processes = Component::ALL.into_iter().filter_map(|component| stack.process(component));
                footprint::of_processes(&processes.collect::<Vec<_>>(), dir.path())
            }
            _ => footprint::of_project(PROJECT).await,
        }
    }

    /// Ends it and removes its data.
    pub(super) async fn stop(self, progress: &mut Progress) -> Result<()> {
        if let Some(mut stack) = self.stack {
            stack.down(progress)?;
        }
        if docker(self.kind).is_some() {
            compose::down_all(&self.options, true, progress).await?;
        }
        Ok(())
    }
}

fn docker(stack: Stack) -> Option<Stack> {
    stack.facts().compose_file.map(|_| stack)
}
