//! Pipelines: from the threads that end a span or write a line to the receivers of OTLP, one thread for each signal.
//!
//! ```text
//!  Intake ──► queue ──► every 5 ms a batch ──► Encoder ──► SpoolClient ──┬─► Spool ──► Delivery
//!                                                                       └─► Spool ──► Delivery
//! ```
//!
//! The queue refuses when it is full, the spools are bounded by bytes and age, and each destination has its own:
//! a thread that pushes never waits, and no destination holds back another.

mod client;
mod delivery;
mod encoder;
mod intake;
mod metrics;
mod request;
mod spool;
#[cfg(test)]
mod tests;

pub(crate) use encoder::{Encode, Encoded, LogItem, SpoolClient, records, requests, spans};
pub(crate) use intake::{Intake, Outbound};
pub(crate) use metrics::PipelineMetrics;
#[cfg(feature = "testing")]
pub(crate) use spool::record::{Record, decode};

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use opentelemetry::Context;
use tokio::runtime;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::timeout;

use self::client::Client;
use self::delivery::{Delivery, Outlet};
use self::intake::Source;
use self::metrics::Dropped;
use self::spool::{Limits, Spool};
use crate::Error;
use crate::settings::Export;

/// Items that come within this time are encoded and written together. With the time for that, a killed process loses what
/// ended in its last 10 ms.
pub(crate) const GROUP: Duration = Duration::from_millis(5);

/// Where the spools of all signals are, and how much may wait in each.
#[derive(Clone, Debug)]
pub(crate) struct SpoolSettings {
    /// Empty keeps what waits in memory.
    pub(crate) directory: PathBuf,
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
}

/// Everything between the queue and the receivers, before it is started.
pub(crate) struct Pipeline<T> {
    name: String,
    intake: Intake<T>,
    source: Source<T>,
    encode: Encode<T>,
    outlets: Arc<[Outlet]>,
    deliveries: Vec<Delivery>,
    batch: usize,
}

impl<T: Send + 'static> Pipeline<T> {
    /// A pipeline whose requests are made by what `encoder` gives.
    pub(crate) fn build(
        export: &Export,
        spool: &SpoolSettings,
        metrics: &PipelineMetrics,
        encoder: impl FnOnce(SpoolClient) -> Result<Encode<T>, Error>,
    ) -> Result<Self, Error> {
        let metrics = metrics.of(export.signal, export.destinations.len());
        let limits = Limits {
            batch: export.batch as u64,
            memory: export.queue as u64,
            bytes: spool.bytes as u64,
            age: spool.age,
        };
        let (mut outlets, mut deliveries) = (Vec::new(), Vec::new());
        for (number, uri) in (1..).zip(&export.destinations) {
            let series = metrics.destinations[number - 1].clone();
            let path = spool.directory.join(format!("{}-{number}", export.signal));
            let spool = match spool.directory.as_os_str().is_empty() {
                true => Spool::in_memory(limits, series.clone()),
                false => Spool::open(path.clone(), limits, series.clone())
                    .map_err(|source| Error::Spool { path, source })?,
            };
            let client = Client::new(uri.clone(), export.headers.clone(), export.has_gzip, export.timeout)?;
            let (outlet, delivery) = Outlet::open(spool, client, series, export.delay);
            outlets.push(outlet);
            deliveries.push(delivery);
        }
        let outlets: Arc<[Outlet]> = outlets.into();
        let encode = encoder(SpoolClient::new(outlets.clone()))?;
        let (intake, source) = intake::queue(export.queue, metrics);
        let name = format!("telemetry-{}", export.signal);
        Ok(Self { name, intake, source, encode, outlets, deliveries, batch: export.batch })
    }

    /// Starts the thread. It ends when the last intake is dropped.
    pub(crate) fn start(self) -> Result<Intake<T>, Error> {
        let (name, intake) = (self.name.clone(), self.intake.clone());
        let failed = |source| Error::Thread { name: name.clone(), source };
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let run = move || {
            // Without it the spans and events of the HTTP client would make the next request.
            let _suppressed = Context::enter_telemetry_suppressed_scope();
            LocalSet::new().block_on(&runtime, self.run());
        };
        thread::Builder::new().name(name.clone()).spawn(run).map_err(failed)?;
        Ok(intake)
    }

    async fn run(self) {
        let Self { intake, mut source, encode, outlets, deliveries, batch, .. } = self;
        let metrics = intake.outbound().metrics().clone();
        // The queue ends with the last intake of another thread.
        drop(intake);
        deliveries.into_iter().for_each(|delivery| drop(spawn_local(delivery.run())));
        let mut is_open = true;
        while is_open {
            let mut items = Vec::new();
            let flush = tokio::select! {
                biased;
                asked = source.flushes.recv() => {
                    is_open = asked.is_some();
                    asked
                }
                Some(first) = source.items.recv() => {
                    items.push(first);
                    let wait = async {
                        tokio::select! {
                            () = source.is_half_full.notified() => None,
                            asked = source.flushes.recv() => asked,
                        }
                    };
                    timeout(GROUP, wait).await.ok().flatten()
                }
            };
            // Those that come while these are encoded are the next group.
            let mut left = source.items.len();
            while left > 0 || !items.is_empty() {
                // As many as complete a segment: two that are half full would be two requests.
                let room = outlets.iter().map(Outlet::room).min().unwrap_or(batch).clamp(1, batch);
                while items.len() < room && left > 0 {
                    left -= 1;
                    items.extend(source.items.try_recv().ok());
                }
                let number = items.len() as u64;
                if !encode(std::mem::take(&mut items)) {
                    metrics.drop(number, Dropped::Damaged);
                }
            }
            if let Some(done) = flush {
                let flushed = join_all(outlets.iter().map(Outlet::flush));
                spawn_local(async move {
                    flushed.await;
                    // An error means that the flush has timed out.
                    let _ = done.send(());
                });
            }
        }
    }
}
