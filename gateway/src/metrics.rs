//! What the gateway counts.

use prometheus::{IntCounter, Registry};
use telemetry::metrics::counter;

/// The metrics of this service; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Orders answered 201; a repeated answer is not counted again.
    pub orders_created: IntCounter,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, telemetry::Error> {
        let help = "Orders placed and paid; a repeated answer is not counted again.";
        Ok(Self { orders_created: counter(registry, "orders_created_total", help)? })
    }
}
