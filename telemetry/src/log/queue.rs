//! What lies between those who log and the threads that write, one for each destination.

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tokio::runtime;
use tokio::sync::mpsc;

use crate::Error;
use crate::metrics::register;
use crate::recorder::{Gathered, Recorder};

/// Lines that may wait for a writer. More are dropped and counted, so that a slow disk never holds up a request.
const CAPACITY: usize = 8192;

/// Bytes that leave with one `write(2)`, if lines are not longer than that.
const CHUNK: usize = 64 * 1024;

/// A destination of whole lines.
pub(super) struct Sink {
    /// Its name in the metrics.
    pub(super) name: &'static str,
    pub(super) writer: Box<dyn Write + Send>,
    /// The file that keeps the lines which a process that is killed had not written yet; without one they are lost.
    pub(super) recent: Option<PathBuf>,
}

/// The sending end; cheap to clone.
#[derive(Clone)]
pub(crate) struct LogQueue {
    destinations: Arc<[Destination]>,
}

struct Destination {
    recorder: Arc<Recorder>,
    flushes: mpsc::UnboundedSender<SyncSender<()>>,
    metrics: LineMetrics,
}

impl LogQueue {
    pub(super) fn start(sinks: Vec<Sink>, registry: &Registry) -> Result<Self, Error> {
        let families = LineFamilies::register(registry)?;
        let start = |sink: Sink| {
            let metrics = families.of(sink.name);
            let mut writer = Writer { writer: sink.writer, metrics: metrics.clone() };
            let recorder = match sink.recent {
                None => Recorder::in_memory(CAPACITY).map_err(Error::LogWriter)?,
                Some(path) => {
                    let rescue = |left: crate::recorder::Left| {
                        metrics.lines.inc_by(left.items.len() as u64);
                        writer.write_all(left.items.iter().map(Vec::as_slice));
                    };
                    Recorder::open(&path, CAPACITY, b"", rescue)
                        .map_err(|source| Error::LogFile { path, source })?
                }
            };
            let recorder = Arc::new(recorder);
            let (flushes, asked) = mpsc::unbounded_channel();
            let runtime =
                runtime::Builder::new_current_thread().enable_time().build().map_err(Error::LogWriter)?;
            let source = recorder.clone();
            let run = move || runtime.block_on(writer.run(&source, asked));
            let thread = thread::Builder::new().name(format!("log-{}", sink.name));
            thread.spawn(run).map_err(Error::LogWriter)?;
            Ok(Destination { recorder, flushes, metrics })
        };
        let destinations = sinks.into_iter().map(start).collect::<Result<_, Error>>()?;
        Ok(Self { destinations })
    }

    /// Never waits: a destination that is too far behind goes without this line.
    pub(super) fn push(&self, line: &[u8]) {
        for Destination { recorder, metrics, .. } in &*self.destinations {
            if recorder.record(line) {
                metrics.lines.inc();
            } else {
                metrics.queue_full.inc();
            }
        }
    }

    /// Counts a line that could not be made.
    pub(super) fn give_up(&self) {
        self.destinations.iter().for_each(|destination| destination.metrics.write_failed.inc());
    }

    /// Waits until every line pushed before this call has been written. Blocks: not for an arbiter.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(self.destinations.len());
        for destination in &*self.destinations {
            // An error means that the writer is gone, and with it everything there was to wait for.
            let _ = destination.flushes.send(done.clone());
        }
        drop(done);
        while written.recv().is_ok() {}
    }

    /// Lines that were given up, over all destinations.
    pub(crate) fn lost(&self) -> u64 {
        self.destinations.iter().map(|d| d.metrics.queue_full.get() + d.metrics.write_failed.get()).sum()
    }
}

struct LineFamilies {
    lines: IntCounterVec,
    dropped: IntCounterVec,
}

impl LineFamilies {
    fn register(registry: &Registry) -> Result<Self, Error> {
        let family = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        Ok(Self {
            lines: family("telemetry_log_lines_total", "Log lines handed to the writer.", &["destination"])?,
            dropped: family(
                "telemetry_log_lines_dropped_total",
                "Log lines given up: queue full, or not writable.",
                &["destination", "reason"],
            )?,
        })
    }

    fn of(&self, destination: &str) -> LineMetrics {
        LineMetrics {
            lines: self.lines.with_label_values(&[destination]),
            queue_full: self.dropped.with_label_values(&[destination, "queue_full"]),
            write_failed: self.dropped.with_label_values(&[destination, "write_failed"]),
        }
    }
}

#[derive(Clone)]
struct LineMetrics {
    lines: IntCounter,
    queue_full: IntCounter,
    write_failed: IntCounter,
}

struct Writer {
    writer: Box<dyn Write + Send>,
    metrics: LineMetrics,
}

impl Writer {
    async fn run(mut self, lines: &Recorder, mut flushes: mpsc::UnboundedReceiver<SyncSender<()>>) {
        loop {
            let gathered = lines.gather(&mut flushes).await;
            let taken = lines.take();
            self.write_all(taken.items());
            drop(taken);
            match gathered {
                Gathered::Some => {}
                Gathered::Ended => return,
                // Whoever asked may have given up waiting.
                Gathered::Flush(done) => drop(done.send(())),
            }
        }
    }

    /// A chunk at a time: one system call for each line would cost more than all the rest.
    fn write_all<'a>(&mut self, lines: impl IntoIterator<Item = &'a [u8]>) {
        let (mut chunk, mut held) = (Vec::with_capacity(CHUNK), 0);
        for line in lines {
            if chunk.len() + line.len() > CHUNK {
                self.write(&chunk, held);
                chunk.clear();
                held = 0;
            }
            chunk.extend_from_slice(line);
            held += 1;
        }
        self.write(&chunk, held);
    }

    fn write(&mut self, chunk: &[u8], lines: u64) {
        if lines > 0 && self.writer.write_all(chunk).and_then(|()| self.writer.flush()).is_err() {
            self.metrics.write_failed.inc_by(lines);
        }
    }
}
