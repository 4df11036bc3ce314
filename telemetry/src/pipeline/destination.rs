//! One receiver: takes the oldest segment of its spool, sends it until there is an answer, takes the next.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use super::metrics::{DestinationMetrics, Dropped, Rejected};
use super::post::{Answer, Post};
use super::spool::{Next, Segment, Spool};

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// Between two segments of a backlog: whoever has just come back should not be run over.
const SHORTEST_BREATH: Duration = Duration::from_millis(10);

/// The end of a destination that is written to.
pub(super) struct Outlet {
    spool: Rc<RefCell<Spool>>,
    changed: Rc<Notify>,
    settled: watch::Receiver<u64>,
}

impl Outlet {
    /// Starts a task that sends what is in `spool`.
    pub(super) fn open(
        spool: Spool,
        post: Post,
        metrics: DestinationMetrics,
        schedule_delay: Duration,
    ) -> Self {
        let (settled, is_settled) = watch::channel(spool.first());
        let (spool, changed) = (Rc::new(RefCell::new(spool)), Rc::new(Notify::new()));
        let outlet = Self { spool: spool.clone(), changed: changed.clone(), settled: is_settled };
        spawn_local(Destination { spool, changed, settled, post, metrics, schedule_delay }.run());
        outlet
    }

    pub(super) fn append(&self, payload: &[u8], items: u64) {
        if self.spool.borrow_mut().append(payload, items) {
            self.changed.notify_one();
        }
    }

    /// Completes when everything so far is delivered or given up.
    pub(super) fn flush(&self) -> impl Future<Output = ()> + use<> {
        let next = self.spool.borrow_mut().seal();
        self.changed.notify_one();
        let mut settled = self.settled.clone();
        async move {
            // An error means that nobody sends any more.
            let _ = settled.wait_for(|number| *number >= next).await;
        }
    }
}

struct Destination {
    spool: Rc<RefCell<Spool>>,
    changed: Rc<Notify>,
    /// All segments with a smaller number are done with.
    settled: watch::Sender<u64>,
    post: Post,
    metrics: DestinationMetrics,
    schedule_delay: Duration,
}

impl Destination {
    async fn run(self) {
        let mut has_backlog = false;
        loop {
            let mut segment = self.next().await;
            let number = segment.number;
            has_backlog |= segment.is_recovered;
            let delivered = self.deliver(&mut segment).await;
            self.spool.borrow_mut().settle(segment);
            self.settled.send_replace(number + 1);
            has_backlog |= delivered.had_to_wait;
            has_backlog &= self.spool.borrow().has_sealed();
            if has_backlog {
                // At most half of the receiver's time.
                sleep(delivered.took.max(SHORTEST_BREATH)).await;
            }
        }
    }

    async fn next(&self) -> Segment {
        loop {
            let next = self.spool.borrow_mut().take(self.schedule_delay);
            match next {
                Next::Now(segment) => return segment,
                // Whichever comes first.
                Next::In(left) => drop(timeout(left, self.changed.notified()).await),
                Next::Never => self.changed.notified().await,
            }
        }
    }

    /// Sends until the receiver has answered with something other than "later", or the segment is too old.
    async fn deliver(&self, segment: &mut Segment) -> Delivered {
        let mut delivered = Delivered::default();
        let body = self.spool.borrow().read(segment);
        let body = match self.post.wrap(body) {
            Ok(body) if segment.items > 0 => body,
            _ => {
                self.metrics.drop(segment.items, Dropped::Damaged);
                return delivered;
            }
        };
        let mut delay = FIRST_DELAY;
        loop {
            if self.spool.borrow().has_expired(segment) {
                self.metrics.drop(segment.items, Dropped::TooOld);
                return delivered;
            }
            let begun = Instant::now();
            let answer = self.post.send(&body).await;
            delivered.took = begun.elapsed();
            let asked = match answer {
                Answer::Taken { rejected } => {
                    let rejected = rejected.min(segment.items);
                    self.metrics.export(segment.items - rejected);
                    self.metrics.reject(rejected, Rejected::Partial);
                    return delivered;
                }
                Answer::Refused(why) => {
                    self.metrics.reject(segment.items, why);
                    return delivered;
                }
                Answer::Later(asked) => asked,
            };
            self.metrics.retries.inc();
            delivered.had_to_wait = true;
            // "Come back at once", for ever, would be a siege; and all at the same moment would be one, too.
            let wait = asked.map_or(delay, |asked| asked.max(FIRST_DELAY));
            sleep(wait.mul_f64(1.0 + fastrand::f64() / 4.0)).await;
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }
}

/// How a delivery went.
#[derive(Default)]
struct Delivered {
    /// Whether there was an answer of "later", or none, before the last one.
    had_to_wait: bool,
    /// How long the last answer took.
    took: Duration,
}
