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
mod durations;
mod exemplar;
mod families;
mod openmetrics;
pub(crate) mod otlp;
mod points;
mod registry;

pub use durations::{Durations, Label};
pub(crate) use families::counter_family;
pub use families::{Counters, DURATION_BUCKETS, OTHER, counter, counters, gauge, register};
pub use registry::{Format, Registry};
