//! The metric families that every service has, how label sets are born at start-up, and what keeps them small.
//!
//! ```
//! use std::time::Duration;
//! use telemetry::metrics::{Durations, Format, Label, OTHER, Registry, counters};
//!
//! # fn main() -> Result<(), telemetry::Error> {
//! let registry = Registry::new();
//! let parcels = counters(&registry, ("parcels_total", "Parcels by outcome."), "outcome", &["sent", "lost"])?;
//! parcels.with_label_values(&["sent"]).inc();
//!
//! let help = "Time to pack a parcel.";
//! let packing = Durations::register(
//!     &registry,
//!     ("packing_duration_seconds", help),
//!     [Label::closed("size", &["small", "large"])],
//! )?;
//! packing.expect(["large"]);
//! packing.observe(["small"], Duration::from_millis(3));
//! packing.observe(["what somebody typed"], Duration::from_millis(3));
//! assert_eq!(packing.count([OTHER]), 1);
//! assert!(registry.encode(Format::OpenMetrics)?.ends_with("# EOF\n"));
//! # Ok(())
//! # }
//! ```

mod counters;
mod durations;
mod exemplar;
mod openmetrics;
mod registry;

pub use counters::Counters;
pub use durations::{Durations, Label};
pub use registry::{Format, Registry};

use prometheus::core::Collector;
use prometheus::{IntCounter, IntGauge};

use crate::Error;

/// The value of a label in place of every unexpected one, so that no input can make a series.
pub const OTHER: &str = "other";

/// Bucket bounds in seconds that the HTTP semantic conventions advise for durations.
pub const DURATION_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

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

/// A counter by one label, each of `values` present with 0 from the start: a series that is born
/// with its first increment hides that increment from `increase()`.
///
/// # Errors
/// When the name is taken or not valid.
pub fn counters(
    registry: &prometheus::Registry,
    name_and_help: (&str, &str),
    label: &str,
    values: &[&str],
) -> Result<Counters, Error> {
    Counters::register(registry, name_and_help, label, values)
}
