//! The queues between those who log and the threads that write, one for each destination.

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

use crate::Error;
use crate::metrics::register;

/// Lines that may wait for the writer: some 3 MiB. More are dropped and counted, so that a slow disk
/// never holds up a request.
const CAPACITY: usize = 8192;

/// Bytes that leave with one `write(2)` at most.
const CHUNK: usize = 64 * 1024;

/// A destination of whole lines.
pub(super) type Sink = Box<dyn Write + Send>;

enum Command {
    Line(Arc<Vec<u8>>),
    Flush(SyncSender<()>),
}

/// The sending end; cheap to clone.
#[derive(Clone)]
pub(crate) struct LogQueue {
    destinations: Arc<[Destination]>,
}

struct Destination {
    commands: SyncSender<Command>,
    metrics: LineMetrics,
}

impl LogQueue {
    pub(super) fn start(sinks: Vec<(&str, Sink)>, registry: &Registry) -> Result<Self, Error> {
        let families = LineFamilies::register(registry)?;
        let start = |(name, sink): (&str, Sink)| {
            let (commands, queued) = sync_channel(CAPACITY);
            let metrics = families.of(name);
            let writer = Writer { sink, metrics: metrics.clone() };
            let thread = thread::Builder::new().name(format!("log-{name}"));
            thread.spawn(move || writer.run(&queued)).map_err(Error::LogWriter)?;
            Ok(Destination { commands, metrics })
        };
        let destinations = sinks.into_iter().map(start).collect::<Result<_, Error>>()?;
        Ok(Self { destinations })
    }

    /// Never waits: a destination whose queue is full goes without this line.
    pub(super) fn push(&self, line: Vec<u8>) {
        let line = Arc::new(line);
        for Destination { commands, metrics } in &*self.destinations {
            match commands.try_send(Command::Line(line.clone())) {
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
        for destination in &*self.destinations {
            // An error means that the writer is gone, and with it everything there was to wait for.
            let _ = destination.commands.send(Command::Flush(done.clone()));
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
    sink: Sink,
    metrics: LineMetrics,
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
        if lines > 0 && self.sink.write_all(chunk).and_then(|()| self.sink.flush()).is_err() {
            self.metrics.write_failed.inc_by(lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Arc, Mutex};

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

    fn start(sinks: Vec<Sink>) -> LogQueue {
        let names = ["first", "second"];
        LogQueue::start(names.into_iter().zip(sinks).collect(), &Registry::new()).unwrap()
    }

    /// Lines handed over, dropped for want of room, and dropped by the destination.
    fn counted(queue: &LogQueue, destination: usize) -> [u64; 3] {
        let LineMetrics { lines, queue_full, write_failed } = &queue.destinations[destination].metrics;
        [lines.get(), queue_full.get(), write_failed.get()]
    }

    #[test]
    fn a_disk_that_hangs_holds_up_neither_who_logs_nor_the_other_and_what_does_not_fit_is_counted() {
        const CREATED: usize = CAPACITY + 7;
        let kept = Kept::default();
        let (entered, is_stuck) = channel();
        let (release, let_go) = channel();
        let queue = start(vec![Box::new(Stuck { entered, let_go }), Box::new(kept.clone())]);
        queue.push(b"stuck\n".to_vec());
        is_stuck.recv().unwrap();
        // The writer holds one line; from here on the queue alone takes them.
        for number in 0..CREATED {
            queue.push(b"waiting\n".to_vec());
            while kept.lines() + CAPACITY / 2 < number {
                thread::yield_now();
            }
        }
        assert_eq!(counted(&queue, 0), [CAPACITY as u64 + 1, 7, 0]);
        let others: Vec<_> = (0..2).map(|number| counted(&queue, number)[0]).collect();
        assert_eq!(others, [CAPACITY as u64 + 1, CREATED as u64 + 1]);

        drop(release);
        queue.flush();
        assert_eq!(kept.lines(), CREATED + 1, "the other has all");
        assert_eq!(counted(&queue, 1)[1..], [0, 0]);
    }

    #[test]
    fn a_destination_that_is_gone_costs_the_other_nothing_and_is_counted() {
        let kept = Kept::default();
        let queue = start(vec![Box::new(Gone), Box::new(kept.clone())]);
        for _ in 0..100 {
            queue.push(b"line\n".to_vec());
        }
        queue.flush();
        assert_eq!(kept.lines(), 100);
        assert_eq!((counted(&queue, 0), counted(&queue, 1)), ([100, 0, 100], [100, 0, 0]));
    }

    #[test]
    fn a_line_longer_than_a_chunk_is_written_whole_and_in_its_place() {
        let kept = Kept::default();
        let queue = start(vec![Box::new(kept.clone())]);
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
        let queue = start(vec![Box::new(Kept::default())]);
        let both = [queue.clone(), queue].map(|queue| thread::spawn(move || queue.flush()));
        for flushed in both {
            flushed.join().unwrap();
        }
    }
}
