//! The circuit breaker of a server: while it does not answer at all, no request waits for its deadline.
//!
//! It is closed until five attempts in a row got no response. Then one attempt in each half second is admitted, and the
//! first response closes it, be it a refusal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use slog::{Logger, info, warn};

/// Failed attempts in a row that open the breaker.
const THRESHOLD: u32 = 5;
/// Between two attempts while it is open.
const PAUSE: Duration = Duration::from_millis(500);

/// The state, without a clock.
#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    /// When the next attempt is admitted; `None` while it is closed.
    probe_at: Option<Instant>,
}

impl Breaker {
    fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }

    fn admit(&mut self, now: Instant) -> bool {
        let admitted = self.probe_at.is_none_or(|at| at <= now);
        if self.is_open() && admitted {
            // By time and not by the response: an attempt that hangs must not be the last one.
            self.probe_at = Some(now + PAUSE);
        }
        admitted
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= THRESHOLD {
            self.probe_at = Some(now + PAUSE);
        }
    }
}

/// The breaker of this process; cheap to clone.
#[derive(Clone)]
pub struct Circuit {
    breaker: Arc<Mutex<Breaker>>,
    open: IntGauge,
    log: Logger,
    messages: Messages,
}

/// The log messages of a circuit that opens and closes.
#[derive(Clone, Copy)]
pub struct Messages {
    /// The server does not answer.
    pub open: &'static str,
    /// It answers again.
    pub closed: &'static str,
}

impl Circuit {
    /// A closed circuit; `open` is 1 while it is open.
    pub fn new(open: IntGauge, log: &Logger, messages: Messages) -> Self {
        Self { breaker: Arc::default(), open, log: log.clone(), messages }
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.lock().is_open()
    }

    /// Whether an attempt is admitted now.
    pub(crate) fn admit(&self) -> bool {
        self.with(|breaker| breaker.admit(Instant::now()))
    }

    /// Records whether an attempt got a response.
    pub(crate) fn record(&self, answered: bool) {
        self.with(|breaker| match answered {
            true => breaker.succeeded(),
            false => breaker.failed(Instant::now()),
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.lock();
        let was_open = breaker.is_open();
        let result = change(&mut breaker);
        let is_open = breaker.is_open();
        if is_open != was_open {
            self.open.set(i64::from(is_open));
            match is_open {
                true => warn!(self.log, "{}", self.messages.open),
                false => info!(self.log, "{}", self.messages.closed),
            }
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        // A panic can't leave two plain values half changed.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INSTANT_BEFORE: Duration = Duration::from_millis(1);

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        (0..THRESHOLD).for_each(|_| breaker.failed(now));
        breaker
    }

    #[test]
    fn the_breaker_opens_after_failures_in_a_row() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            (1..THRESHOLD).for_each(|_| breaker.failed(now));
            assert!(breaker.admit(now));
            breaker.succeeded();
        }
        assert!(!opened(now).admit(now));
    }

    #[test]
    fn an_open_breaker_admits_one_attempt_in_each_pause() {
        let now = Instant::now();
        let mut breaker = opened(now);
        for pauses in 1..4 {
            let due = now + PAUSE * pauses;
            assert!(!breaker.admit(due - INSTANT_BEFORE));
            assert!(breaker.admit(due));
            assert!(!breaker.admit(due));
        }
    }

    #[test]
    fn the_first_response_closes_the_breaker() {
        let now = Instant::now();
        let mut breaker = opened(now);
        assert!(breaker.admit(now + PAUSE));
        breaker.succeeded();
        assert!(breaker.admit(now + PAUSE) && breaker.admit(now + PAUSE));
    }

    proptest! {
        #[test]
        fn the_breaker_refuses_for_a_pause_at_most_and_with_reason(
            steps in prop::collection::vec((0..400_u64, any::<bool>()), 1..200)
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            let (mut failures, mut last_try) = (0, now);
            for (wait, answered) in steps {
                now += Duration::from_millis(wait);
                let admitted = breaker.admit(now);
                let must = failures < THRESHOLD || now >= last_try + PAUSE;
                prop_assert_eq!(admitted, must, "{:?} after {} failures", breaker, failures);
                if !admitted {
                    continue;
                }
                last_try = now;
                if answered {
                    breaker.succeeded();
                    failures = 0;
                } else {
                    breaker.failed(now);
                    failures += 1;
                }
            }
        }
    }
}
