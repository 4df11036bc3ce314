//! Pauses between failed attempts: they double, up to a bound, and are jittered, so that the replicas of a service do not
//! try all at once.

use std::time::Duration;

/// The pauses of one series of attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses from `min` to `max`, before the jitter.
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, next: min }
    }

    /// The next pause: twice the last one, up to a quarter longer.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause.mul_f64(1.0 + fastrand::f64() / 4.0)
    }

    /// Begins again with the shortest pause.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_begin_again() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(300));
        for least in [100, 200, 300, 300] {
            let pause = backoff.pause().as_millis();
            assert!((least..=least * 5 / 4).contains(&pause), "{pause} ms is not {least} ms and a quarter");
        }
        backoff.reset();
        assert!(backoff.pause() < Duration::from_millis(126));
    }

    #[test]
    fn two_series_differ() {
        let series = || {
            let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));
            [(); 8].map(|()| backoff.pause())
        };
        assert_ne!(series(), series());
    }
}
