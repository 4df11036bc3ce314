//! Pipelines: from those who end a span or write a line to the receivers of OTLP, one thread for each signal.
//!
//! ```text
//!  Intake::push ──► Recorder ──► groups of what came within a moment, joined ──┬─► Spool ──► Destination
//!                                                                            └─► Spool ──► Destination
//! ```
//!
//! The recorder refuses when it is full, the spools are bounded by bytes and age, and each destination has its own:
//! whoever hands something over never waits, and no destination holds back another.

mod destination;
mod metrics;
mod post;
mod request;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use metrics::{PipelineMetrics, SignalMetrics};
pub(crate) use request::Template;
pub(crate) use spool::directory::{is_ours, numbered};
pub(crate) use spool::segment::{Record, decode, payloads};

use std::cell::Cell;
use std::mem;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use opentelemetry::Context;
use tokio::runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};

use self::destination::Outlet;
use self::post::Post;
use self::spool::{Limits, Spool};
use crate::otlp::Message;
use crate::recorder::{Gathered, Left, Recorder};
use crate::settings::{Compression, ExportSettings};
use crate::{Error, Service, scratch};

/// What a pipeline carries.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Traces,
    Logs,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
        }
    }
}

/// What one pipeline is told.
pub(crate) struct Options {
    pub(crate) signal: Signal,
    /// Who speaks, in the ways that its items are said.
    pub(crate) template: Template,
    pub(crate) uris: Vec<http::Uri>,
    pub(crate) queue: usize,
    pub(crate) batch: usize,
    pub(crate) schedule_delay: Duration,
}

thread_local! {
    /// For the item that is being written on this thread.
    static SCRATCH: Cell<Option<Vec<u8>>> = const { Cell::new(None) };
}

/// The sending end; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    recorder: Arc<Recorder>,
    flushes: mpsc::UnboundedSender<oneshot::Sender<()>>,
    metrics: SignalMetrics,
}

impl Intake {
    /// Takes an item that `write` writes, to be said in this way of the [`Template`]. Never waits.
    pub(crate) fn push(&self, way: u8, write: impl FnOnce(&mut Message)) {
        scratch::lend(&SCRATCH, |scratch| {
            scratch.clear();
            scratch.push(way);
            let mut item = Message::after(mem::take(scratch));
            write(&mut item);
            self.metrics.record();
            if !self.recorder.record(item.as_bytes()) {
                self.metrics.refuse();
            }
            *scratch = item.into_bytes();
        });
    }

    pub(crate) fn metrics(&self) -> &SignalMetrics {
        &self.metrics
    }

    /// Completes once everything that was pushed before this call is delivered or given up for good.
    ///
    /// While a receiver is unreachable that is never: bound it.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.flushes.send(done).is_ok() {
            // An error means that the pipeline has ended, and nothing more will leave.
            let _ = flushed.await;
        }
    }
}

/// Everything between the recorder and the receivers, before it is started.
pub(crate) struct Pipeline {
    intake: Intake,
    flushes: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    destinations: Vec<(Spool, Post)>,
    template: Template,
    batch: usize,
    schedule_delay: Duration,
}

impl Pipeline {
    pub(crate) fn build(
        service: Service,
        options: Options,
        settings: &ExportSettings,
        metrics: &PipelineMetrics,
    ) -> Result<Self, Error> {
        let Options { signal, template, uris, queue, batch, schedule_delay } = options;
        let metrics = metrics.of(signal, uris.len());
        let limits = Limits {
            batch: batch as u64,
            memory: queue as u64,
            bytes: settings.telemetry_spool_bytes as u64,
            age: settings.telemetry_spool_age,
        };
        let has_gzip = settings.otel_exporter_otlp_compression == Compression::Gzip;
        let (root, timeout) = (&settings.telemetry_spool_dir, settings.otel_exporter_otlp_timeout);
        let root = (!root.as_os_str().is_empty()).then(|| root.join(service.name));
        let mut destinations = Vec::new();
        for (number, uri) in (1..).zip(uris) {
            let series = metrics.destinations[number - 1].clone();
            let spool = match &root {
                None => Spool::in_memory(limits, series),
                Some(root) => {
                    let path = root.join(format!("{}-{number}", signal.name()));
                    Spool::open(path.clone(), limits, series)
                        .map_err(|source| Error::Spool { path, source })?
                }
            };
            destinations.push((spool, Post::new(uri, settings.headers()?, has_gzip, timeout)?));
        }
        let recorder = match root {
            None => Recorder::in_memory(queue).map_err(Error::Pipeline)?,
            Some(root) => {
                let path = root.join(format!("{}.recent", signal.name()));
                let rescue = |left: Left| {
                    // Theirs: another version or another setting may have spoken in other ways.
                    let template = Template::decode(left.about).unwrap_or_else(|| template.clone());
                    for items in left.items.chunks(batch) {
                        let request = template.fill(items.iter().map(Vec::as_slice)).into();
                        for ((spool, _), metrics) in destinations.iter_mut().zip(&metrics.destinations) {
                            metrics.recover(items.len() as u64);
                            spool.append(&request, items.len() as u64);
                        }
                    }
                };
                Recorder::open(&path, queue, &template.encode(), rescue)
                    .map_err(|source| Error::Spool { path, source })?
            }
        };
        let (ask, flushes) = mpsc::unbounded_channel();
        let intake = Intake { recorder: Arc::new(recorder), flushes: ask, metrics };
        Ok(Self { intake, flushes, destinations, template, batch, schedule_delay })
    }

    pub(crate) fn intake(&self) -> Intake {
        self.intake.clone()
    }

    /// Starts the thread.
    pub(crate) fn start(self, name: &str) -> Result<(), Error> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Pipeline)?;
        let thread = thread::Builder::new().name(name.to_owned());
        let run = move || {
            // Else what the HTTP client says of a request would be the next request.
            let _silent = Context::enter_telemetry_suppressed_scope();
            LocalSet::new().block_on(&runtime, self.run());
        };
        thread.spawn(run).map_err(Error::Pipeline)?;
        Ok(())
    }

    async fn run(mut self) {
        // Whoever is left to push has an intake of his own.
        let Intake { recorder, flushes: ours, metrics } = self.intake;
        drop(ours);
        let outlets: Vec<_> = self
            .destinations
            .into_iter()
            .zip(metrics.destinations)
            .map(|((spool, post), metrics)| Outlet::open(spool, post, metrics, self.schedule_delay))
            .collect();
        loop {
            let gathered = recorder.gather(&mut self.flushes).await;
            let taken = recorder.take();
            let items = taken.items();
            let mut rest = &items[..];
            while !rest.is_empty() {
                // As much as completes a batch: two that are half full would be two requests.
                let room = outlets.iter().map(Outlet::room).min().unwrap_or(self.batch);
                let (batch, after) = rest.split_at(room.clamp(1, rest.len()));
                let request = self.template.fill(batch.iter().copied()).into();
                outlets.iter().for_each(|outlet| outlet.append(&request, batch.len() as u64));
                rest = after;
            }
            drop(taken);
            match gathered {
                Gathered::Some => {}
                Gathered::Ended => return,
                Gathered::Flush(done) => {
                    let flushed = join_all(outlets.iter().map(Outlet::flush));
                    spawn_local(async move {
                        flushed.await;
                        // Whoever asked may have given up waiting.
                        let _ = done.send(());
                    });
                }
            }
        }
    }
}
