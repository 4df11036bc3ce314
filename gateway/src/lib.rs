//! The order gateway: the public door.
//!
//! ```text
//!  client ── POST /create-order ──► http ──Pay──► [Payments] ── POST /process-payment ──► payment
//! ```
//!
//! A name in brackets is an actor. The gateway keeps no state of orders: what it was told lives with payment before it
//! answers 2xx, so that killing it loses nothing. Beside the way of orders:
//!
//! ```text
//!  Alertmanager ── POST /alerts ──► alerts ──Record──► [AlertLog] ◄──Recent── GET /alerts
//! ```

pub mod alert_log;
pub mod breaker;
pub mod config;
pub mod http;
pub mod metrics;
pub mod order;
pub mod payments;

mod alerts;
mod client;
mod idempotency;
mod limits;
mod page;
mod place;
mod plain;
mod strict;
mod synthetic;

use telemetry::Service;

/// The name of this service in every signal.
pub const SERVICE: Service = Service { name: "order-gateway", version: env!("CARGO_PKG_VERSION") };
