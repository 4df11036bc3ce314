//! Requests that are refused without any work: measured each, and sampled in log and trace. A client that sends them by
//! the thousand would otherwise push all else out of both.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::dev::Extensions;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Refused requests of one status that are recorded each second, after a burst.
const PER_SECOND: NonZeroU32 = NonZeroU32::MIN;
const BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(49);

/// The status of responses that cost a client nothing to cause.
const SAMPLED: [u16; 4] = [401, 404, 405, 429];

/// The record of a request that will be refused, in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sample {
    /// A span and a log line; the line carries the number of requests before it that have neither.
    Recorded {
        /// Requests of its status without a record since the last one.
        suppressed: u64,
    },
    /// Neither.
    Suppressed,
}

impl Sample {
    pub(super) fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().copied()
    }
}

/// The samplers of all workers, one for each status.
#[derive(Clone)]
pub(super) struct Refusals(Arc<[(u16, Sampler); SAMPLED.len()]>);

struct Sampler {
    limiter: DefaultDirectRateLimiter,
    suppressed: AtomicU64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        let sampler = |status| {
            let limiter = RateLimiter::direct(Quota::per_second(PER_SECOND).allow_burst(BURST));
            (status, Sampler { limiter, suppressed: AtomicU64::new(0) })
        };
        Self(Arc::new(SAMPLED.map(sampler)))
    }

    /// The record of a response with this status; `None` where all are recorded.
    pub(super) fn sample(&self, status: u16) -> Option<Sample> {
        let (_, sampler) = self.0.iter().find(|(sampled, _)| *sampled == status)?;
        Some(match sampler.limiter.check() {
            Ok(()) => Sample::Recorded { suppressed: sampler.suppressed.swap(0, Ordering::Relaxed) },
            Err(_) => {
                sampler.suppressed.fetch_add(1, Ordering::Relaxed);
                Sample::Suppressed
            }
        })
    }
}
