//! Logs: one root logger, ECS fields, JSON lines, written behind a bounded queue.

mod bridge;
mod ecs;
mod queue;

pub(crate) use bridge::BridgeLayer;
pub(crate) use queue::LogQueue;

use slog::Logger;

use crate::metrics::PipelineMetrics;
use crate::{Error, Service, Settings};

/// Builds the root logger over the queue that its lines go through.
pub(crate) fn root(
    service: Service,
    settings: &Settings,
    metrics: &PipelineMetrics,
) -> Result<(Logger, LogQueue), Error> {
    let mut sinks: Vec<queue::Sink> = Vec::new();
    if settings.log_stdout {
        sinks.push(Box::new(std::io::stdout()));
    }
    if !settings.log_dir.as_os_str().is_empty() {
        sinks.push(Box::new(open(&settings.log_dir, service.name)?));
    }
    let queue = LogQueue::start(sinks, metrics)?;
    let drain = ecs::EcsDrain::new(service, settings, queue.clone());
    Ok((Logger::root(drain, slog::o!()), queue))
}

fn open(directory: &std::path::Path, service: &str) -> Result<std::fs::File, Error> {
    let path = directory.join(format!("{service}.log"));
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::OpenOptions::new().create(true).append(true).open(&path))
        .map_err(|source| Error::LogFile { path, source })
}
