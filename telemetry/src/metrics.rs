//! The metric families that every service has, and how label sets are born at start-up.

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use crate::Error;

/// Bucket bounds in seconds that the HTTP semantic conventions advise for durations.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Registers `metric` and hands it back, so that a struct of metrics reads as a list.
///
/// # Errors
/// When the name is taken.
pub fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Result<M, Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// A counter without labels.
///
/// # Errors
/// When the name is taken or not valid.
pub fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    register(registry, IntCounter::new(name, help)?)
}

/// A gauge without labels.
///
/// # Errors
/// When the name is taken or not valid.
pub fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, Error> {
    register(registry, IntGauge::new(name, help)?)
}

/// A counter by one label, each of `values` present with 0 from the start: a series that is born
/// with its first increment hides that increment from `increase()`.
///
/// # Errors
/// When the name is taken or not valid.
pub fn counters(
    registry: &Registry,
    (name, help): (&str, &str),
    label: &str,
    values: &[&str],
) -> Result<IntCounterVec, Error> {
    let family = register(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)?;
    for value in values {
        family.with_label_values(&[value]);
    }
    Ok(family)
}

/// A histogram of seconds over [`DURATION_BUCKETS`].
///
/// # Errors
/// When the name is taken or not valid.
pub fn durations(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<HistogramVec, Error> {
    let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
    register(registry, HistogramVec::new(options, labels)?)
}
