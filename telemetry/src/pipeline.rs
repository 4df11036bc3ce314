//! Pipelines: from those who end a span or write a line to the receivers of OTLP, one thread for each signal.
//!
//! ```text
//!  Intake::push ──► bounded queue ──► groups of what came within a millisecond, encoded ──┬─► Spool ──► Destination
//!                                                                                       └─► Spool ──► Destination
//! ```
//!
//! The queue refuses when it is full, the spools are bounded by bytes and age, and each destination has its own:
//! whoever hands something over never waits, and no destination holds back another.

mod destination;
mod division;
mod metrics;
mod post;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use metrics::{PipelineMetrics, SignalMetrics};

use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use opentelemetry::Context;
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

use self::destination::Outlet;
use self::post::Post;
use self::spool::{Limits, Spool};
use crate::settings::{Compression, ExportSettings};
use crate::{Error, Service};

/// What ends within this time is written with one system call. It is also what a `kill -9` can take.
const GROUP: Duration = Duration::from_millis(1);

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
    pub(crate) uris: Vec<http::Uri>,
    pub(crate) queue: usize,
    pub(crate) batch: usize,
    pub(crate) schedule_delay: Duration,
}

enum Entry<T> {
    Item(T),
    Flush(oneshot::Sender<()>),
}

/// The sending end; cheap to clone.
#[derive(Debug)]
pub(crate) struct Intake<T> {
    entries: mpsc::Sender<Entry<T>>,
    metrics: SignalMetrics,
}

impl<T> Clone for Intake<T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), metrics: self.metrics.clone() }
    }
}

impl<T> Intake<T> {
    /// Never waits.
    pub(crate) fn push(&self, item: T) {
        self.metrics.record();
        if self.entries.try_send(Entry::Item(item)).is_err() {
            self.metrics.refuse();
        }
    }

    pub(crate) fn metrics(&self) -> &SignalMetrics {
        &self.metrics
    }

    /// Completes once everything that was pushed before this call is delivered or given up for good.
    ///
    /// While a receiver is unreachable that is never: bound it.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.entries.send(Entry::Flush(done)).await.is_ok() {
            // An error means that the pipeline has ended, and nothing more will leave.
            let _ = flushed.await;
        }
    }
}

/// Everything between the queue and the receivers, before it is started.
pub(crate) struct Pipeline<T> {
    intake: Intake<T>,
    entries: mpsc::Receiver<Entry<T>>,
    destinations: Vec<(Spool, Post)>,
    batch: usize,
    schedule_delay: Duration,
}

impl<T: Send + 'static> Pipeline<T> {
    pub(crate) fn build(
        service: Service,
        options: Options,
        settings: &ExportSettings,
        metrics: &PipelineMetrics,
    ) -> Result<Self, Error> {
        let (queue, entries) = mpsc::channel(options.queue.min(Semaphore::MAX_PERMITS));
        let metrics = metrics.of(options.signal, options.uris.len());
        let limits = Limits {
            batch: options.batch as u64,
            memory: options.queue as u64,
            bytes: settings.telemetry_spool_bytes as u64,
            age: settings.telemetry_spool_age,
        };
        let has_gzip = settings.otel_exporter_otlp_compression == Compression::Gzip;
        let (root, timeout) = (&settings.telemetry_spool_dir, settings.otel_exporter_otlp_timeout);
        let mut destinations = Vec::new();
        for (number, uri) in (1..).zip(options.uris) {
            let series = metrics.destinations[number - 1].clone();
            let spool = if root.as_os_str().is_empty() {
                Spool::in_memory(limits, series)
            } else {
                let path = root.join(service.name).join(format!("{}-{number}", options.signal.name()));
                Spool::open(path.clone(), limits, series).map_err(|source| Error::Spool { path, source })?
            };
            destinations.push((spool, Post::new(uri, settings.headers()?, has_gzip, timeout)?));
        }
        let intake = Intake { entries: queue, metrics };
        let Options { batch, schedule_delay, .. } = options;
        Ok(Self { intake, entries, destinations, batch, schedule_delay })
    }

    pub(crate) fn intake(&self) -> Intake<T> {
        self.intake.clone()
    }

    /// Starts the thread; `encode` makes one OTLP request of a group.
    pub(crate) fn start(
        self,
        name: &str,
        encode: impl Fn(Vec<T>) -> Vec<u8> + Send + 'static,
    ) -> Result<(), Error> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Pipeline)?;
        let thread = thread::Builder::new().name(name.to_owned());
        let run = move || {
            // Else what the HTTP client says of a request would be the next request.
            let _silent = Context::enter_telemetry_suppressed_scope();
            LocalSet::new().block_on(&runtime, self.run(encode));
        };
        thread.spawn(run).map_err(Error::Pipeline)?;
        Ok(())
    }

    async fn run(mut self, encode: impl Fn(Vec<T>) -> Vec<u8>) {
        let metrics = self.intake.metrics.destinations;
        let outlets: Vec<_> = self
            .destinations
            .into_iter()
            .zip(metrics)
            .map(|((spool, post), metrics)| Outlet::open(spool, post, metrics, self.schedule_delay))
            .collect();
        // Whoever is left to push has a sender of his own.
        drop(self.intake.entries);
        let write = |group: &mut Vec<T>| {
            let items = group.len() as u64;
            if items > 0 {
                let payload = encode(std::mem::take(group));
                outlets.iter().for_each(|outlet| outlet.append(&payload, items));
            }
        };
        let mut entries = Vec::new();
        while self.entries.recv_many(&mut entries, self.batch).await > 0 {
            if entries.len() < self.batch {
                sleep(GROUP).await;
            }
            while entries.len() < self.batch
                && let Ok(entry) = self.entries.try_recv()
            {
                entries.push(entry);
            }
            let mut group = Vec::with_capacity(entries.len());
            for entry in entries.drain(..) {
                match entry {
                    Entry::Item(item) => group.push(item),
                    Entry::Flush(done) => {
                        write(&mut group);
                        let flushed = join_all(outlets.iter().map(Outlet::flush));
                        spawn_local(async move {
                            flushed.await;
                            // Whoever asked may have given up waiting.
                            let _ = done.send(());
                        });
                    }
                }
            }
            write(&mut group);
        }
    }
}
