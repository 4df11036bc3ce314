//! The metrics of the gateway.

use std::time::Duration;

use payment_api::http::{PAYMENT, PROCESS_PAYMENT};
use prometheus::{IntCounter, IntGauge};
use telemetry::metrics::{Counters, Durations, Label, Registry, counter, counters, gauge};

/// The metrics of this service; cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Orders answered 201; a repeated response is not counted again.
    pub orders_created: IntCounter,
    /// 1 while orders are refused because payment does not answer.
    pub circuit_breaker_open: IntGauge,
    /// Requests that a rate limit has admitted, by who keeps it.
    pub rate_limit_admitted: Counters,
    /// Requests that a rate limit has refused, by who keeps it.
    pub rate_limit_refused: Counters,
    /// 1 while this gateway limits by itself, because the shared store does not answer.
    pub rate_limit_fallback: IntGauge,
    calls: Durations<3>,
}

/// Those that keep a rate limit: the gateway, the shared store, and the gateway in its place.
const KEEPERS: [&str; 3] = ["gateway", "store", "fallback"];

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
            rate_limit_admitted: counters(
                registry,
                ("rate_limit_admitted_total", "Requests that a rate limit has admitted."),
                "by",
                &KEEPERS,
            )?,
            rate_limit_refused: counters(
                registry,
                ("rate_limit_refused_total", "Requests that a rate limit has refused."),
                "by",
                &KEEPERS,
            )?,
            rate_limit_fallback: gauge(
                registry,
                "rate_limit_fallback",
                "1 while the shared rate limit does not answer and this gateway limits by itself, else 0.",
            )?,
            calls,
        })
    }

    /// Measures an attempt to call payment that has ended; within its span.
    pub fn called(&self, method: &str, route: &str, outcome: &str, took: Duration) {
        self.calls.observe([method, route, outcome], took);
    }
}
