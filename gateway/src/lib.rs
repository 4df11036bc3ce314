//! The order gateway: the public door.
//!
//! ```text
//!  client ── POST /create-order ──► http ──Pay──► [Payments] ── POST /process-payment ──► payment
//! ```
//!
//! A name in brackets is an actor. The gateway keeps no state: what it was told lives with payment before it
//! answers 2xx, so that killing it loses nothing.

pub mod breaker;
pub mod config;
pub mod http;
pub mod metrics;
pub mod order;
pub mod payments;

mod client;
mod idempotency;
mod limits;
mod page;
mod place;
mod plain;
mod strict;

use telemetry::Service;

/// The name of this service in every signal.
pub const SERVICE: Service = Service { name: "order-gateway", version: env!("CARGO_PKG_VERSION") };
