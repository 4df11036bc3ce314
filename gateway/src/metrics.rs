//! The metrics of the gateway.

use std::time::Duration;

use payment_api::http::{PAYMENT, PROCESS_PAYMENT};
use prometheus::{IntCounter, IntGauge};
use telemetry::metrics::{Durations, Label, Registry, counter, gauge};

/// The metrics of this service; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Orders answered 201; a repeated response is not counted again.
    pub orders_created: IntCounter,
    /// 1 while orders are refused because payment does not answer.
    pub circuit_breaker_open: IntGauge,
    calls: Durations<3>,
}

const CALLS: [(&str, &str); 2] = [("POST", PROCESS_PAYMENT), ("GET", PAYMENT)];

impl Metrics {
    /// The outcomes of a call of payment; `answered` is a payment, whether it succeeded or was declined.
    pub const OUTCOMES: [&str; 7] =
        ["answered", "refused", "in_progress", "unavailable", "connect", "timeout", "contract"];

    /// Registers all of them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, telemetry::Error> {
        let calls = Durations::register(
            registry,
            (
                "http_client_request_duration_seconds",
                "Time of one attempt to call payment, by route template and outcome.",
            ),
            [
                Label::closed("method", &CALLS.map(|(method, _)| method)),
                Label::closed("route", &CALLS.map(|(_, route)| route)),
                Label::closed("outcome", &Self::OUTCOMES),
            ],
        )?;
        for (method, route) in CALLS {
            for outcome in Self::OUTCOMES {
                calls.expect([method, route, outcome]);
            }
        }
        Ok(Self {
            orders_created: counter(
                registry,
                "orders_created_total",
                "Orders placed and paid; a repeated response is not counted again.",
            )?,
            circuit_breaker_open: gauge(
                registry,
                "circuit_breaker_open",
                "1 while orders are refused because payment does not answer, else 0.",
            )?,
            calls,
        })
    }

    /// Measures an attempt to call payment that has ended; within its span.
    pub fn called(&self, method: &str, route: &str, outcome: &str, took: Duration) {
        self.calls.observe([method, route, outcome], took);
    }
}
