//! The delivery to one receiver: takes the oldest segment of its spool, sends it until there is an answer, takes the
//! next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prost::bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::client::{Answer, Client};
use super::metrics::{DestinationMetrics, Dropped, Rejected};
use super::request::halves;
use super::spool::{Next, Segment, Spool};

const MIN_BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// Between two segments of a backlog: a receiver that has just come back is not flooded.
const MIN_PAUSE: Duration = Duration::from_millis(10);
/// Requests that may be spent on a segment to find the items that are refused: some seven among 512.
pub(super) const MAX_HALVES: usize = 128;

/// The near end of a destination: requests are appended to its spool.
#[derive(Clone)]
pub(super) struct Outlet {
    spool: Arc<Mutex<Spool>>,
    changed: Arc<Notify>,
    /// All segments with a smaller number are done with.
    completed: watch::Receiver<u64>,
}

impl Outlet {
    /// An outlet, and the delivery behind it, which has to be run.
    pub(super) fn open(
        spool: Spool,
        client: Client,
        metrics: DestinationMetrics,
        schedule_delay: Duration,
    ) -> (Self, Delivery) {
        let (completed, is_completed) = watch::channel(spool.first());
        let (spool, changed) = (Arc::new(Mutex::new(spool)), Arc::new(Notify::new()));
        let outlet = Self { spool: spool.clone(), changed: changed.clone(), completed: is_completed };
        let halves_left = MAX_HALVES;
        (outlet, Delivery { spool, changed, completed, client, metrics, schedule_delay, halves_left })
    }

    /// Items that the segment which is being filled still takes.
    pub(super) fn room(&self) -> usize {
        lock(&self.spool).room()
    }

    pub(super) fn append(&self, body: &Bytes, items: u64) {
        if lock(&self.spool).append(body, items) {
            self.changed.notify_one();
        }
    }

    /// Completes when every request that was appended before is delivered or given up.
    pub(super) fn flush(&self) -> impl Future<Output = ()> + use<> {
        let next = lock(&self.spool).seal();
        self.changed.notify_one();
        let mut completed = self.completed.clone();
        async move {
            // An error means that the delivery has ended.
            let _ = completed.wait_for(|number| *number >= next).await;
        }
    }
}

fn lock(spool: &Mutex<Spool>) -> MutexGuard<'_, Spool> {
    spool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends what is in one spool.
pub(super) struct Delivery {
    spool: Arc<Mutex<Spool>>,
    changed: Arc<Notify>,
    completed: watch::Sender<u64>,
    client: Client,
    metrics: DestinationMetrics,
    schedule_delay: Duration,
    /// A receiver that refuses everything refuses halves, too: renewed only when something is accepted.
    halves_left: usize,
}

impl Delivery {
    pub(super) async fn run(mut self) {
        let mut has_backlog = false;
        loop {
            let mut segment = self.next().await;
            let number = segment.number;
            has_backlog |= segment.is_recovered;
            let delivered = self.deliver(&mut segment).await;
            lock(&self.spool).remove(segment);
            self.completed.send_replace(number + 1);
            has_backlog |= delivered.had_to_wait;
            has_backlog &= lock(&self.spool).has_sealed();
            if has_backlog {
                // At most half of the receiver's time.
                sleep(delivered.took.max(MIN_PAUSE)).await;
            }
        }
    }

    async fn next(&self) -> Segment {
        loop {
            let next = lock(&self.spool).take(self.schedule_delay);
            match next {
                Next::Now(segment) => return segment,
                Next::In(left) => drop(timeout(left, self.changed.notified()).await),
                Next::Never => self.changed.notified().await,
            }
        }
    }

    /// Sends until everything in the segment is accepted, refused for good or too old.
    async fn deliver(&mut self, segment: &mut Segment) -> Delivered {
        let mut delivered = Delivered::default();
        let mut has_accepted = false;
        let body = lock(&self.spool).read(segment);
        // The first half is on top, so that items arrive in their order.
        let mut parts = vec![(body, segment.items)];
        while let Some((body, items)) = parts.pop().filter(|(_, items)| *items > 0) {
            match self.send(&body, segment, &mut delivered).await {
                Ok(rejected) => {
                    let rejected = rejected.min(items);
                    self.metrics.export(items - rejected);
                    self.metrics.reject(rejected, Rejected::Partial);
                    has_accepted = true;
                }
                Err(GivenUp::Dropped(why)) => self.metrics.drop(items, why),
                Err(GivenUp::Rejected(why)) => match self.divide(&body, items, why) {
                    Some([first, second]) => parts.extend([second, first]),
                    None => self.metrics.reject(items, why),
                },
            }
        }
        if has_accepted {
            self.halves_left = MAX_HALVES;
        }
        delivered
    }

    /// Two requests in place of one that was refused, if that may help.
    fn divide(&mut self, body: &Bytes, items: u64, why: Rejected) -> Option<[(Bytes, u64); 2]> {
        // Credentials that are refused are refused for each half.
        if why == Rejected::Unauthorized || self.halves_left < 2 {
            return None;
        }
        let halves = halves(body, items)?;
        self.halves_left -= 2;
        Some(halves)
    }

    /// Sends a request until the answer is not "later"; gives the number of items refused within a success.
    async fn send(&self, body: &Bytes, segment: &Segment, delivered: &mut Delivered) -> Result<u64, GivenUp> {
        let body = self.client.compress(body).map_err(|_| GivenUp::Dropped(Dropped::Damaged))?;
        let mut delay = MIN_BACKOFF;
        loop {
            if lock(&self.spool).has_expired(segment) {
                return Err(GivenUp::Dropped(Dropped::TooOld));
            }
            let begun = Instant::now();
            let answer = self.client.send(&body).await;
            delivered.took = begun.elapsed();
            let asked = match answer {
                Answer::Accepted { rejected } => return Ok(rejected),
                Answer::Refused(why) => return Err(GivenUp::Rejected(why)),
                Answer::Later(asked) => asked,
            };
            self.metrics.retries.inc();
            delivered.had_to_wait = true;
            // Without a minimum and jitter, "Retry-After: 0" would be an endless loop of all clients at once.
            let wait = asked.map_or(delay, |asked| asked.max(MIN_BACKOFF));
            sleep(wait.mul_f64(1.0 + fastrand::f64() / 4.0)).await;
            delay = (delay * 2).min(MAX_BACKOFF);
        }
    }
}

/// Why a request is not sent again as it is.
enum GivenUp {
    Dropped(Dropped),
    Rejected(Rejected),
}

/// How the delivery of a segment went.
#[derive(Default)]
struct Delivered {
    /// Whether there was an answer of "later", or none, before the last one.
    had_to_wait: bool,
    /// How long the last answer took.
    took: Duration,
}
