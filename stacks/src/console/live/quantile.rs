//! Quantiles of a histogram's growth.

/// Upper bounds in seconds, each with the cumulative number of measurements.
pub(super) type Buckets = Vec<(f64, f64)>;

/// The quantile of what was measured between two states of a histogram, in seconds; none without a measurement. Within a
/// bucket the measurements are taken to be spread evenly, as Prometheus does.
pub(super) fn quantile(before: &Buckets, now: &Buckets, share: f64) -> Option<f64> {
    let count = |bound: f64, of: &Buckets| {
        of.iter().find(|(other, _)| *other == bound).map_or(0.0, |(_, count)| *count)
    };
    let grown: Buckets =
        now.iter().map(|(bound, count_now)| (*bound, count_now - count(*bound, before))).collect();
    let total = grown.last()?.1;
    if total <= 0.0 {
        return None;
    }
    let rank = share * total;
    let (mut below, mut low) = (0.0, 0.0);
    for (bound, cumulative) in grown {
        if cumulative >= rank {
            let within = (rank - below) / (cumulative - below).max(f64::MIN_POSITIVE);
            // Above the last finite bound nothing is known but that.
            return Some(if bound.is_finite() { low + (bound - low) * within } else { low });
        }
        (below, low) = (cumulative, bound);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_of_the_growth_alone() {
        let before = vec![(0.1, 100.0), (0.5, 100.0), (f64::INFINITY, 100.0)];
        let now = vec![(0.1, 100.0), (0.5, 110.0), (f64::INFINITY, 110.0)];
        assert_eq!(quantile(&before, &before, 0.5), None);
        let median = quantile(&before, &now, 0.5).unwrap();
        assert!((median - 0.3).abs() < 1e-9, "{median}");
        let beyond = vec![(0.1, 100.0), (0.5, 100.0), (f64::INFINITY, 110.0)];
        assert_eq!(quantile(&before, &beyond, 0.99), Some(0.5));
        assert_eq!(quantile(&Vec::new(), &Vec::new(), 0.5), None);
    }
}
