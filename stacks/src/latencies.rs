//! Latencies and their quantiles, in a histogram of bounded size.

use std::time::Duration;

use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

/// The bounds in microseconds between which latencies are told apart.
const BOUNDS: (u64, u64) = (1, 3_600_000_000);
/// Significant digits.
const DIGITS: u8 = 3;

/// How long things took, each to three significant digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty record.
    ///
    /// # Errors
    /// When the histogram cannot have its bounds.
    pub fn new() -> Result<Self> {
        Histogram::new_with_bounds(BOUNDS.0, BOUNDS.1, DIGITS).map(Self).context("cannot make a histogram")
    }

    /// Adds one; more than an hour counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that this share of all kept to, by the nearest rank; none where nothing was recorded.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        if self.0.is_empty() {
            return None;
        }
        let micros = self.0.median_equivalent(self.0.value_at_quantile(share));
        // The histogram knows no more digits than these: the rest would be the width of its buckets.
        let unit = 10_u64.pow(micros.max(1).ilog10().saturating_sub(u32::from(DIGITS) - 1));
        Some(Duration::from_micros((micros + unit / 2) / unit * unit))
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank_with_three_digits() {
        let mut latencies = Latencies::new().unwrap();
        assert_eq!(latencies.quantile(0.5), None);
        (1..=100).rev().for_each(|seconds| latencies.record(Duration::from_secs(seconds)));
        let seconds = [0.0, 0.5, 0.95, 1.0].map(|share| latencies.quantile(share).unwrap().as_secs_f64());
        assert_eq!(seconds, [1.0, 50.0, 95.0, 100.0]);
        latencies.clear();
        latencies.record(Duration::from_micros(123_456));
        assert_eq!((latencies.count(), latencies.quantile(1.0)), (1, Some(Duration::from_millis(123))));
    }
}
