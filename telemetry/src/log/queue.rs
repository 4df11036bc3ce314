//! The queue between those who log and the one thread that writes.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;

use crate::Error;
use crate::metrics::PipelineMetrics;

/// Lines that may wait for the writer: some 3 MiB. More are dropped and counted, so that a slow disk
/// never holds up a request.
const CAPACITY: usize = 8192;

/// Bytes that leave with one `write(2)` at most.
const CHUNK: usize = 64 * 1024;

/// A destination of whole lines.
pub(super) type Sink = Box<dyn Write + Send>;

enum Command {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// The sending end; cheap to clone.
#[derive(Clone)]
pub(crate) struct LogQueue {
    commands: SyncSender<Command>,
    metrics: PipelineMetrics,
}

impl LogQueue {
    pub(super) fn start(sinks: Vec<Sink>, metrics: &PipelineMetrics) -> Result<Self, Error> {
        let (commands, queued) = sync_channel(CAPACITY);
        let writer = Writer { sinks, metrics: metrics.clone() };
        thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&queued))
            .map_err(Error::LogWriter)?;
        Ok(Self { commands, metrics: metrics.clone() })
    }

    /// Never waits.
    pub(super) fn push(&self, line: Vec<u8>) {
        match self.commands.try_send(Command::Line(line)) {
            Ok(()) => self.metrics.lines_written.inc(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.metrics.lines_dropped.with_label_values(&[PipelineMetrics::QUEUE_FULL]).inc();
            }
        }
    }

    /// Waits until every line pushed before this call has been written. Blocks: not for an arbiter.
    pub(crate) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.commands.send(Command::Flush(done)).is_ok() {
            // An error means that the writer is gone, and with it everything there was to wait for.
            let _ = written.recv();
        }
    }
}

struct Writer {
    sinks: Vec<Sink>,
    metrics: PipelineMetrics,
}

impl Writer {
    /// One write per burst of lines: one system call for each would cost more than all the rest.
    fn run(mut self, queued: &Receiver<Command>) {
        let mut chunk = Vec::with_capacity(CHUNK);
        while let Ok(first) = queued.recv() {
            let mut lines = 0;
            let mut flushed = None;
            let mut next = Some(first);
            while let Some(command) = next.take() {
                match command {
                    Command::Line(line) => {
                        chunk.extend_from_slice(&line);
                        lines += 1;
                        if chunk.len() < CHUNK {
                            next = queued.try_recv().ok();
                        }
                    }
                    Command::Flush(done) => flushed = Some(done),
                }
            }
            self.write(&chunk, lines);
            chunk.clear();
            if let Some(done) = flushed {
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self, chunk: &[u8], lines: u64) {
        for sink in &mut self.sinks {
            if sink.write_all(chunk).and_then(|()| sink.flush()).is_err() {
                self.metrics.lines_dropped.with_label_values(&[PipelineMetrics::WRITE_FAILED]).inc_by(lines);
            }
        }
    }
}
