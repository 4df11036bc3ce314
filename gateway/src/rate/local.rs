//! The rate of each client as one gateway sees it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::decision::Decision;

/// Requests after which idle clients are forgotten, so that memory is bounded.
const FORGET_EVERY: u32 = 10_000;

/// A limit for each client, in the memory of this process.
pub(super) struct LocalRate {
    limiter: RateLimiter<IpAddr, DefaultKeyedStateStore<IpAddr>, DefaultClock, StateInformationMiddleware>,
    limit: NonZeroU32,
    clock: DefaultClock,
    seen: AtomicU32,
}

impl LocalRate {
    /// A limit of so many requests a second, and as many at once.
    pub(super) fn new(limit: NonZeroU32) -> Self {
        let limiter = RateLimiter::keyed(Quota::per_second(limit)).with_middleware();
        Self { limiter, limit, clock: DefaultClock::default(), seen: AtomicU32::new(0) }
    }

    /// Counts a request of a client.
    pub(super) fn check(&self, client: IpAddr) -> Decision {
        if self.seen.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let (remaining, wait) = match self.limiter.check_key(&client) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(refused) => (0, Some(refused.wait_time_from(self.clock.now()))),
        };
        Decision::new(self.limit, remaining, wait)
    }
}
