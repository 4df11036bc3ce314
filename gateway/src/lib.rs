//! The order gateway: takes orders over HTTP and has them paid.
//!
//! ```text
//!  client ── POST /create-order ──► http ──RequestPayment──► [Payments] ── POST /process-payment ──► payment
//! ```
//!
//! A name in brackets is an actor. The gateway keeps no orders: payment has committed an order before the gateway answers
//! 2xx, so killing it loses nothing. Beside the path of orders:
//!
//! ```text
//!  Alertmanager ── POST /alerts ──► alerts ──RecordNotices──► [AlertLog] ◄──ListNotices── GET /alerts
//! ```

pub mod alert_log;
pub mod breaker;
pub mod config;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod order;
pub mod payments;
pub mod rate;

mod alerts;
mod client;
mod held;
mod idempotency;
mod json;
mod negotiation;
mod page;
mod places;
mod synthetic;

use telemetry::Service;

/// The name of this service in every signal.
pub const SERVICE: Service = Service { name: "order-gateway", version: env!("CARGO_PKG_VERSION") };
