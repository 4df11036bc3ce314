//! What one trial measures.

use super::usage::Usage;

/// The services in the order of a table.
pub(super) const SERVICES: [&str; 3] = ["gateway", "payment", "mailer"];

/// What one order costs one service, or all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Microseconds of CPU for an order.
    pub(super) cpu_us: f64,
    /// Context switches for an order.
    pub(super) switches: f64,
    /// The largest resident set, in MiB; of several services, that of the largest.
    pub(super) peak_mib: f64,
    /// Statements in the database for an order, and commits.
    pub(super) statements: f64,
    pub(super) commits: f64,
}

/// What one trial measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) orders_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// From the start of a service to its first good `/readyz`, of the slowest service.
    pub(super) ready_ms: f64,
    /// In the order of [`SERVICES`].
    pub(super) services: [Cost; 3],
    pub(super) spans_lost: u64,
    pub(super) lines_lost: u64,
}

/// One trial of each variant, in the order of the variants.
pub(super) type Round = Vec<Measured>;

impl Cost {
    /// The cost of so many orders between two readings.
    pub(super) fn between(before: Usage, after: Usage, orders: u64) -> Self {
        // Threads that have ended are missing from the second reading.
        let per_order = |after: u64, before: u64| after.saturating_sub(before) as f64 / orders as f64;
        Self {
            cpu_us: (after.cpu_s - before.cpu_s) * 1e6 / orders as f64,
            switches: per_order(after.switches, before.switches),
            peak_mib: after.peak_mib,
            statements: per_order(after.statements, before.statements),
            commits: per_order(after.commits, before.commits),
        }
    }
}

impl Measured {
    /// The cost of all services.
    pub(super) fn total(&self) -> Cost {
        self.services.iter().fold(Cost::default(), |sum, cost| Cost {
            cpu_us: sum.cpu_us + cost.cpu_us,
            switches: sum.switches + cost.switches,
            peak_mib: sum.peak_mib.max(cost.peak_mib),
            statements: sum.statements + cost.statements,
            commits: sum.commits + cost.commits,
        })
    }
}

/// The median of some numbers; zero without any.
pub(super) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => 0.0,
        length if length % 2 == 1 => numbers[length / 2],
        length => f64::midpoint(numbers[length / 2 - 1], numbers[length / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_the_difference_of_two_readings_per_order() {
        let before = Usage { cpu_s: 1.0, switches: 100, peak_mib: 20.0, statements: 0, commits: 7 };
        let after = Usage { cpu_s: 1.5, switches: 600, peak_mib: 30.0, statements: 5000, commits: 57 };
        let cost = Cost::between(before, after, 1000);
        assert_eq!((cost.cpu_us, cost.switches, cost.peak_mib), (500.0, 0.5, 30.0));
        assert_eq!((cost.statements, cost.commits), (5.0, 0.05));
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0].into_iter()), 2.5);
        assert_eq!(median(std::iter::empty()), 0.0);
    }
}
