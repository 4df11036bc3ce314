//! One stack without data, beside the user's own: the local stack in a directory of its own, a Docker stack as a Compose
//! project of its own.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use stacks::{
    compose,
    local::{LocalStack, layout::Component},
    logs::{self, Filter},
    progress::Progress,
    settings::{Options, bare},
    stack::{Backends, Stack},
};
use tempfile::TempDir;

use super::footprint::{self, Footprint};

/// The Compose project: its volumes are removed in the end, and those of the user's project stay.
const PROJECT: &str = "omnitrace-compare";

/// The stack to measure.
pub(super) struct Subject {
    stack: Stack,
    options: Options,
    local: Option<LocalStack>,
    /// The directory of the local stack; dropped after it.
    dir: Option<TempDir>,
}

impl Subject {
    pub(super) fn new(options: &Options, stack: Stack) -> Result<Self> {
        let mut options = options.clone();
        let dir = match stack {
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
        Ok(Self { stack, options, local: None, dir })
    }

    pub(super) fn stack(&self) -> Stack {
        self.stack
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Starts the stack without data, after everything was fetched and built; returns the time until all of it is ready.
    pub(super) async fn start(&mut self, progress: &mut Progress) -> Result<Duration> {
        if self.stack == Stack::Local {
            let begun = Instant::now();
            self.local = Some(LocalStack::up(&self.options, progress).await?);
            return Ok(begun.elapsed());
        }
        // The first start fetches the images, the second one is measured.
        compose::bring_up(&self.options, self.stack, progress).await?;
        compose::down_all(&self.options, true, progress).await?;
        let begun = Instant::now();
        compose::bring_up(&self.options, self.stack, progress).await?;
        Ok(begun.elapsed())
    }

    /// Searches the log lines of a trace without any state of earlier searches.
    pub(super) async fn lines(&self, backends: &Backends, trace: &str) -> Result<()> {
        match &self.local {
            Some(stack) => logs::read(&stack.log_dir(), &Filter::trace(trace), None).map(drop),
            None => backends.logs.lines(&[trace]).await.map(drop),
        }
    }

    /// The memory and the disk of the stack.
    pub(super) async fn footprint(&self) -> Result<Footprint> {
        match (&self.local, &self.dir) {
            (Some(stack), Some(dir)) => {
                let processes = Component::ALL.into_iter().filter_map(|component| stack.process(component));
                footprint::of_processes(&processes.collect::<Vec<_>>(), dir.path())
            }
            _ => footprint::of_project(PROJECT).await,
        }
    }

    /// Stops the stack and removes its data.
    pub(super) async fn stop(self, progress: &mut Progress) -> Result<()> {
        match self.local {
            Some(mut stack) => stack.down(progress).map(drop),
            None if self.stack == Stack::Local => Ok(()),
            None => compose::down_all(&self.options, true, progress).await.map(drop),
        }
    }
}
