//! Metric families whose label sets are declared at start-up and bounded, and the forms in which they leave.
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
//! packing.observe(["any other text"], Duration::from_millis(3));
//! assert_eq!(packing.count([OTHER]), 1);
//! assert!(registry.encode(Format::OpenMetrics)?.ends_with("# EOF\n"));
//! # Ok(())
//! # }
//! ```

mod conventions;
mod counters;
mod durations;
mod exemplar;
mod families;
mod openmetrics;
pub(crate) mod otlp;
mod points;
mod registry;

pub use counters::Counters;
pub use durations::{Durations, Label};
pub use families::{DURATION_BUCKETS, OTHER, counter, gauge, register};
pub use registry::{Format, Registry};

use crate::Error;

/// A counter by one label, each of `values` present with 0 from the start: a series that begins with its first
/// increment hides it from `increase()`.
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
