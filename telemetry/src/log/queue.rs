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

    /// Counts a line that could not be made.
    pub(super) fn give_up(&self) {
        self.metrics.lines_dropped.with_label_values(&[PipelineMetrics::WRITE_FAILED]).inc();
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Mutex};

    use prometheus::Registry;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Kept {
        fn lines(&self) -> usize {
            self.0.lock().unwrap().iter().filter(|byte| **byte == b'\n').count()
        }
    }

    /// Tells of its first write, and holds it until it is let go: a disk that does not answer.
    struct Stuck {
        entered: Sender<()>,
        let_go: Receiver<()>,
    }

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.send(());
            // An error means that it was let go for good.
            let _ = self.let_go.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start(sinks: Vec<Sink>) -> (LogQueue, PipelineMetrics) {
        let metrics = PipelineMetrics::register(&Registry::new()).unwrap();
        (LogQueue::start(sinks, &metrics).unwrap(), metrics)
    }

    fn dropped(metrics: &PipelineMetrics, reason: &str) -> u64 {
        metrics.lines_dropped.with_label_values(&[reason]).get()
    }

    #[test]
    fn a_disk_that_hangs_holds_nobody_up_and_what_does_not_fit_is_counted() {
        let kept = Kept::default();
        let (entered, is_stuck) = channel();
        let (release, let_go) = channel();
        let (queue, metrics) = start(vec![Box::new(Stuck { entered, let_go }), Box::new(kept.clone())]);
        queue.push(b"stuck\n".to_vec());
        is_stuck.recv().unwrap();
        // The writer holds one line; from here on the queue alone takes them.
        for _ in 0..CAPACITY + 7 {
            queue.push(b"waiting\n".to_vec());
        }
        assert_eq!(dropped(&metrics, PipelineMetrics::QUEUE_FULL), 7);
        assert_eq!(metrics.lines_written.get(), CAPACITY as u64 + 1);
        assert_eq!(kept.lines(), 0);

        drop(release);
        queue.flush();
        assert_eq!(kept.lines(), CAPACITY + 1);
        assert_eq!(dropped(&metrics, PipelineMetrics::WRITE_FAILED), 0);
    }

    #[test]
    fn a_destination_that_is_gone_costs_the_other_nothing_and_is_counted() {
        let kept = Kept::default();
        let (queue, metrics) = start(vec![Box::new(Gone), Box::new(kept.clone())]);
        for _ in 0..100 {
            queue.push(b"line\n".to_vec());
        }
        queue.flush();
        assert_eq!(kept.lines(), 100);
        assert_eq!(dropped(&metrics, PipelineMetrics::WRITE_FAILED), 100);
    }

    #[test]
    fn a_line_longer_than_a_chunk_is_written_whole_and_in_its_place() {
        let kept = Kept::default();
        let (queue, _) = start(vec![Box::new(kept.clone())]);
        let long = [vec![b'x'; 3 * CHUNK], b"\n".to_vec()].concat();
        for line in [b"first\n".to_vec(), long.clone(), b"last\n".to_vec()] {
            queue.push(line);
        }
        queue.flush();
        let expected = [b"first\n".to_vec(), long, b"last\n".to_vec()].concat();
        assert!(*kept.0.lock().unwrap() == expected, "torn, or out of order");
    }

    #[test]
    fn two_flushes_at_once_both_end() {
        let (queue, _) = start(vec![Box::new(Kept::default())]);
        let both = [queue.clone(), queue].map(|queue| thread::spawn(move || queue.flush()));
        for flushed in both {
            flushed.join().unwrap();
        }
    }
}
