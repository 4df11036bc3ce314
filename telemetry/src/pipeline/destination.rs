//! One receiver: takes the oldest segment of its spool, sends it until there is an answer, takes the next.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep, timeout};

use super::metrics::{DestinationMetrics, Dropped, Rejected};
use super::post::{Answer, Post};
use super::request::halves;
use super::spool::{Next, Segment, Spool};

const FIRST_DELAY: Duration = Duration::from_millis(200);
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// Between two segments of a backlog: whoever has just come back should not be run over.
const SHORTEST_BREATH: Duration = Duration::from_millis(10);
/// Requests that may be spent on a segment to find the items that are refused: some seven among 512, wherever they are.
pub(super) const MOST_HALVES: usize = 128;

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
        let halves_left = MOST_HALVES;
        spawn_local(
            Destination { spool, changed, settled, post, metrics, schedule_delay, halves_left }.run(),
        );
        outlet
    }

    /// Items that the segment which is being filled still takes.
    pub(super) fn room(&self) -> usize {
        self.spool.borrow().room()
    }

    pub(super) fn append(&self, payload: &Bytes, items: u64) {
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
    /// Whoever refuses all there is will refuse its halves, too: renewed only by something that is taken.
    halves_left: usize,
}

impl Destination {
    async fn run(mut self) {
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

    /// Sends until everything in the segment is taken, refused for good or too old.
    async fn deliver(&mut self, segment: &mut Segment) -> Delivered {
        let mut delivered = Delivered::default();
        let mut has_taken = false;
        let body = self.spool.borrow().read(segment);
        // The first half is on top, so that items arrive in their order.
        let mut parts = vec![(body, segment.items)];
        while let Some((body, items)) = parts.pop().filter(|(_, items)| *items > 0) {
            match self.insist(&body, segment, &mut delivered).await {
                Ok(rejected) => {
                    let rejected = rejected.min(items);
                    self.metrics.export(items - rejected);
                    self.metrics.reject(rejected, Rejected::Partial);
                    has_taken = true;
                }
                Err(GivenUp::Dropped(why)) => self.metrics.drop(items, why),
                Err(GivenUp::Rejected(why)) => match self.divide(&body, items, why) {
                    Some([first, second]) => parts.extend([second, first]),
                    None => self.metrics.reject(items, why),
                },
            }
        }
        if has_taken {
            self.halves_left = MOST_HALVES;
        }
        delivered
    }

    /// Two requests in place of one that was refused, if that may help.
    fn divide(&mut self, body: &Bytes, items: u64, why: Rejected) -> Option<[(Bytes, u64); 2]> {
        // A stranger is refused whatever he brings.
        if why == Rejected::Unauthorized || self.halves_left < 2 {
            return None;
        }
        let halves = halves(body, items)?;
        self.halves_left -= 2;
        Some(halves)
    }

    /// Sends a request until the answer is not "later". Answers with the number of items refused within a success.
    async fn insist(
        &self,
        body: &Bytes,
        segment: &Segment,
        delivered: &mut Delivered,
    ) -> Result<u64, GivenUp> {
        let body = self.post.wrap(body).map_err(|_| GivenUp::Dropped(Dropped::Damaged))?;
        let mut delay = FIRST_DELAY;
        loop {
            if self.spool.borrow().has_expired(segment) {
                return Err(GivenUp::Dropped(Dropped::TooOld));
            }
            let begun = Instant::now();
            let answer = self.post.send(&body).await;
            delivered.took = begun.elapsed();
            let asked = match answer {
                Answer::Taken { rejected } => return Ok(rejected),
                Answer::Refused(why) => return Err(GivenUp::Rejected(why)),
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

/// Why a request will not be sent again as it is.
enum GivenUp {
    Dropped(Dropped),
    Rejected(Rejected),
}

/// How a delivery went.
#[derive(Default)]
struct Delivered {
    /// Whether there was an answer of "later", or none, before the last one.
    had_to_wait: bool,
    /// How long the last answer took.
    took: Duration,
}
