//! Counters and gauges, and what all families share.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use crate::Error;

/// The value of a label in place of every undeclared one, so that no input can make a series.
pub const OTHER: &str = "other";

/// Bucket bounds in seconds: those that the HTTP semantic conventions advise, and three below for a broker's confirm.
pub const DURATION_BUCKETS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Registers `metric` and hands it back, so that a struct of metrics reads as a list.
///
/// # Errors
/// When the name is taken.
pub fn register<M: Collector + Clone + 'static>(
    registry: &prometheus::Registry,
    metric: M,
) -> Result<M, Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Counters by some labels.
pub(crate) fn counter_family(
    registry: &prometheus::Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, Error> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

/// A counter without labels.
///
/// # Errors
/// When the name is taken or not valid.
pub fn counter(registry: &prometheus::Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    register(registry, IntCounter::new(name, help)?)
}

/// A gauge without labels.
///
/// # Errors
/// When the name is taken or not valid.
pub fn gauge(registry: &prometheus::Registry, name: &str, help: &str) -> Result<IntGauge, Error> {
    register(registry, IntGauge::new(name, help)?)
}

/// A counter by one label; cheap to clone. A value that was not declared counts as [`OTHER`].
#[derive(Clone, Debug)]
pub struct Counters {
    declared: Arc<[(String, IntCounter)]>,
    family: IntCounterVec,
}

/// A counter by one label, each of `values` present with 0 from the start: a series that begins with its first
/// increment hides it from `increase()`.
///
/// # Errors
/// When the name is taken or not valid.
pub fn counters(
    registry: &prometheus::Registry,
    (name, help): (&str, &str),
    label: &str,
    values: &[&str],
) -> Result<Counters, Error> {
    let family = counter_family(registry, name, help, &[label])?;
    let declared = values.iter().map(|value| (value.to_string(), family.with_label_values(&[value])));
    Ok(Counters { declared: declared.collect(), family })
}

impl Counters {
    /// The counter of one value.
    pub fn with_label_values(&self, [value]: &[&str; 1]) -> IntCounter {
        let declared = self.declared.iter().find(|(declared, _)| declared == value);
        declared.map_or_else(|| self.family.with_label_values(&[OTHER]), |(_, counter)| counter.clone())
    }
}
