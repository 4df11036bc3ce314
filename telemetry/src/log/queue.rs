//! The bounded queues between the threads that log and the threads that write, one for each destination.

#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use prometheus::{IntCounter, Registry};

use crate::Error;
use crate::metrics::counter_family;
use crate::pipeline::GROUP;

/// Lines that may wait for a writer. More are dropped and counted, so that a slow disk never holds up a request.
const CAPACITY: usize = 8192;

/// Bytes that are written with one `write(2)`, unless a line is longer.
const CHUNK: usize = 64 * 1024;

/// A destination of whole lines.
pub(super) struct Sink {
    /// Its name in the metrics.
    pub(super) name: &'static str,
    pub(super) writer: Box<dyn Write + Send>,
}

/// The sending end; cheap to clone.
#[derive(Clone)]
pub(crate) struct LogQueue {
    destinations: Arc<[Destination]>,
}

struct Destination {
    queue: SyncSender<Queued>,
    metrics: LineMetrics,
}

enum Queued {
    Line(Arc<[u8]>),
    /// Answered once every line before it is written.
    Flush(SyncSender<()>),
}

impl LogQueue {
    pub(super) fn start(sinks: Vec<Sink>, registry: &Registry) -> Result<Self, Error> {
        let help = "Log lines handed to the writer.";
        let lines = counter_family(registry, "telemetry_log_lines_total", help, &["destination"])?;
        let (help, labels) = ("Log lines given up: queue full, or not writable.", ["destination", "reason"]);
        let dropped = counter_family(registry, "telemetry_log_lines_dropped_total", help, &labels)?;
        let start = |sink: Sink| {
            let dropped = |reason| dropped.with_label_values(&[sink.name, reason]);
            let metrics = LineMetrics {
                lines: lines.with_label_values(&[sink.name]),
                queue_full: dropped("queue_full"),
                write_failed: dropped("write_failed"),
            };
            let (queue, queued) = sync_channel(CAPACITY);
            let writer = Writer { writer: sink.writer, metrics: metrics.clone() };
            let name = format!("log-{}", sink.name);
            let thread = thread::Builder::new().name(name.clone());
            thread.spawn(move || writer.run(&queued)).map_err(|source| Error::Thread { name, source })?;
            Ok(Destination { queue, metrics })
        };
        let destinations = sinks.into_iter().map(start).collect::<Result<_, Error>>()?;
        Ok(Self { destinations })
    }

    /// Never waits: a destination that is too far behind goes without this line.
    pub(super) fn push(&self, line: &[u8]) {
        let line: Arc<[u8]> = line.into();
        for Destination { queue, metrics } in &*self.destinations {
            match queue.try_send(Queued::Line(line.clone())) {
                Ok(()) => metrics.lines.inc(),
                Err(_) => metrics.queue_full.inc(),
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
        let ask = |destination: &Destination| {
            // An error means that the writer has ended.
            let _ = destination.queue.send(Queued::Flush(done.clone()));
        };
        self.destinations.iter().for_each(ask);
        drop(done);
        while written.recv().is_ok() {}
    }

    /// Lines that were given up, over all destinations.
    pub(crate) fn lost(&self) -> u64 {
        self.destinations.iter().map(|d| d.metrics.queue_full.get() + d.metrics.write_failed.get()).sum()
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
    #[expect(clippy::disallowed_methods, reason = "a thread of its own, and no arbiter")]
    fn run(mut self, queue: &Receiver<Queued>) {
        let mut chunk = Chunk { bytes: Vec::with_capacity(CHUNK), lines: 0 };
        while let Ok(first) = queue.recv() {
            // Lines that come within this time are written together; a flush does not wait.
            let is_line = matches!(first, Queued::Line(_));
            if is_line {
                thread::sleep(GROUP);
            }
            for queued in std::iter::once(first).chain(queue.try_iter()) {
                match queued {
                    Queued::Line(line) => {
                        if chunk.bytes.len() + line.len() > CHUNK {
                            self.write(&mut chunk);
                        }
                        chunk.bytes.extend_from_slice(&line);
                        chunk.lines += 1;
                    }
                    Queued::Flush(done) => {
                        self.write(&mut chunk);
                        let _ = done.send(());
                    }
                }
            }
            self.write(&mut chunk);
        }
    }

    fn write(&mut self, chunk: &mut Chunk) {
        let lines = std::mem::take(&mut chunk.lines);
        if lines > 0 && self.writer.write_all(&chunk.bytes).and_then(|()| self.writer.flush()).is_err() {
            self.metrics.write_failed.inc_by(lines);
        }
        chunk.bytes.clear();
    }
}

/// Lines that are written together: a system call for each line would cost more than the rest of it.
struct Chunk {
    bytes: Vec<u8>,
    lines: u64,
}
