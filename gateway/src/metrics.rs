//! What the gateway counts.

use prometheus::{IntCounter, IntGauge, Registry};
use telemetry::metrics::{counter, gauge};

/// The metrics of this service; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Orders answered 201; a repeated answer is not counted again.
    pub orders_created: IntCounter,
    /// 1 while orders are refused because payment does not answer.
    pub circuit_breaker_open: IntGauge,
}

impl Metrics {
    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, telemetry::Error> {
        Ok(Self {
            orders_created: counter(
                registry,
                "orders_created_total",
                "Orders placed and paid; a repeated answer is not counted again.",
            )?,
            circuit_breaker_open: gauge(
                registry,
                "circuit_breaker_open",
                "1 while orders are refused because payment does not answer, else 0.",
            )?,
        })
    }
}
