//! The answer of a limit, which response headers tell the client.

use std::num::NonZeroU32;
use std::time::Duration;

/// The answer of a limit to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Requests a second.
    pub(crate) limit: u32,
    /// Requests that are admitted at once from now on.
    pub(crate) remaining: u32,
    /// Until as many as the limit are admitted at once.
    pub(crate) reset: Duration,
    /// `None` if the request is admitted, else the time until one will be.
    pub(crate) wait: Option<Duration>,
}

impl Decision {
    /// The limit is also the number of requests that are admitted at once, so that it is full again after a second at most.
    pub(super) fn new(limit: NonZeroU32, remaining: u32, wait: Option<Duration>) -> Self {
        let limit = limit.get();
        let used = f64::from(limit.saturating_sub(remaining)) / f64::from(limit);
        Self { limit, remaining, reset: Duration::from_secs_f64(used), wait }
    }
}
