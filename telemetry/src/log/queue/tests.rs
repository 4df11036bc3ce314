use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

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

/// Reports its first write, and blocks until it is released: a disk that does not answer.
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

fn start(writers: Vec<Box<dyn Write + Send>>) -> LogQueue {
    let sink = |(name, writer)| Sink { name, writer };
    LogQueue::start(["first", "second"].into_iter().zip(writers).map(sink).collect(), &Registry::new())
        .unwrap()
}

/// Lines handed over, dropped for want of room, and dropped by the destination.
fn counted(queue: &LogQueue, destination: usize) -> [u64; 3] {
    let LineMetrics { lines, queue_full, write_failed } = &queue.destinations[destination].metrics;
    [lines.get(), queue_full.get(), write_failed.get()]
}

#[test]
fn a_disk_that_hangs_holds_up_no_thread_and_no_other_disk() {
    const CREATED: usize = CAPACITY + 7;
    let kept = Kept::default();
    let (entered, is_stuck) = channel();
    let (release, let_go) = channel();
    let queue = start(vec![Box::new(Stuck { entered, let_go }), Box::new(kept.clone())]);
    queue.push(b"stuck\n");
    is_stuck.recv().unwrap();
    // The writer holds one line; from here on the queue alone takes them.
    for number in 0..CREATED {
        queue.push(b"waiting\n");
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
fn a_failing_destination_costs_the_other_nothing() {
    let kept = Kept::default();
    let queue = start(vec![Box::new(Gone), Box::new(kept.clone())]);
    for _ in 0..100 {
        queue.push(b"line\n");
    }
    queue.flush();
    assert_eq!(kept.lines(), 100);
    assert_eq!((counted(&queue, 0), counted(&queue, 1)), ([100, 0, 100], [100, 0, 0]));
}

#[test]
fn a_line_longer_than_a_chunk_is_written_whole() {
    let kept = Kept::default();
    let queue = start(vec![Box::new(kept.clone())]);
    let long = [vec![b'x'; 3 * CHUNK], b"\n".to_vec()].concat();
    for line in [b"first\n".to_vec(), long.clone(), b"last\n".to_vec()] {
        queue.push(&line);
    }
    queue.flush();
    let expected = [b"first\n".to_vec(), long, b"last\n".to_vec()].concat();
    assert!(*kept.0.lock().unwrap() == expected, "torn, or out of order");
}

#[tokio::test]
async fn a_thread_that_runs_tasks_may_flush() {
    let kept = Kept::default();
    let queue = start(vec![Box::new(kept.clone())]);
    queue.push(b"line\n");
    queue.flush();
    assert_eq!(kept.lines(), 1);
}

#[test]
fn two_flushes_at_once_both_end() {
    let queue = start(vec![Box::new(Kept::default())]);
    let both = [queue.clone(), queue].map(|queue| thread::spawn(move || queue.flush()));
    for flushed in both {
        flushed.join().unwrap();
    }
}
