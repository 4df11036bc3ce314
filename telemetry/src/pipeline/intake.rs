//! The near end of a pipeline: a bounded queue that refuses when it is full.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::metrics::{Dropped, SignalMetrics};

/// The sending end of the queue; cheap to clone.
#[derive(Debug)]
pub(crate) struct Intake<T> {
    items: mpsc::Sender<T>,
    is_half_full: Arc<Notify>,
    outbound: Outbound,
}

/// What a pipeline can be asked besides, for items of any type.
#[derive(Clone, Debug)]
pub(crate) struct Outbound {
    flushes: mpsc::UnboundedSender<Flush>,
    metrics: SignalMetrics,
}

/// A request to send all that was pushed before, and to answer then.
type Flush = oneshot::Sender<()>;

/// The receiving end of the queue.
pub(super) struct Source<T> {
    pub(super) items: mpsc::Receiver<T>,
    pub(super) flushes: mpsc::UnboundedReceiver<Flush>,
    pub(super) is_half_full: Arc<Notify>,
}

impl<T> Clone for Intake<T> {
    fn clone(&self) -> Self {
        let Self { items, is_half_full, outbound } = self;
        Self { items: items.clone(), is_half_full: is_half_full.clone(), outbound: outbound.clone() }
    }
}

/// A queue with room for `capacity` items.
pub(super) fn queue<T>(capacity: usize, metrics: SignalMetrics) -> (Intake<T>, Source<T>) {
    let (items, received) = mpsc::channel(capacity);
    let (flushes, asked) = mpsc::unbounded_channel();
    let is_half_full = Arc::new(Notify::new());
    let source = Source { items: received, flushes: asked, is_half_full: is_half_full.clone() };
    (Intake { items, is_half_full, outbound: Outbound { flushes, metrics } }, source)
}

impl<T> Intake<T> {
    /// Queues an item, or counts it as dropped. Never waits.
    pub(crate) fn push(&self, item: T) {
        self.push_many(item, 1);
    }

    /// The same for an item that counts as `number` items.
    pub(crate) fn push_many(&self, item: T, number: u64) {
        // Counted before: the pipeline may have sent the item when this thread goes on.
        self.outbound.metrics.record(number);
        if self.items.try_send(item).is_err() {
            self.outbound.metrics.drop(number, Dropped::QueueFull);
        }
        if self.items.capacity() <= self.items.max_capacity() / 2 {
            self.is_half_full.notify_one();
        }
    }

    pub(crate) fn outbound(&self) -> &Outbound {
        &self.outbound
    }
}

impl Outbound {
    pub(crate) fn metrics(&self) -> &SignalMetrics {
        &self.metrics
    }

    /// Completes once everything that was pushed before this call is delivered or given up.
    ///
    /// While a receiver is unreachable that is never: bound it.
    pub(crate) async fn flush(&self) {
        // An error means that the pipeline has ended, and nothing more will leave.
        let _ = self.ask().await;
    }

    /// The same for a thread without a runtime; false when it has taken longer than `timeout`.
    pub(crate) fn flush_blocking(&self, timeout: Duration) -> bool {
        let (done, is_done) = std::sync::mpsc::channel();
        let flushed = self.ask();
        let wait = move || {
            let _ = flushed.blocking_recv();
            let _ = done.send(());
        };
        let thread = std::thread::Builder::new().name("telemetry-flush".to_owned());
        thread.spawn(wait).is_ok() && is_done.recv_timeout(timeout).is_ok()
    }

    fn ask(&self) -> oneshot::Receiver<()> {
        let (done, flushed) = oneshot::channel();
        // The sender that is dropped with an error answers the receiver, too.
        let _ = self.flushes.send(done);
        flushed
    }
}
