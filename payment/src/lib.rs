//! Payment: settles each payment once, and announces it on the broker.
//!
//! ```text
//!  http ──SettlePayment──► [Ledger] ── one transaction: payment row + outbox row ──► store
//!                      └──RelayEvents──► [Publisher] ── outbox ─► RabbitMQ, confirmed, then marked
//! ```
//!
//! A name in brackets is an actor. The answer to a request leaves after the commit; the event leaves when the
//! broker can take it.

pub mod config;
pub mod decision;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod publisher;
pub mod simulation;
pub mod store;

use telemetry::Service;

/// The name of this service in every signal.
pub const SERVICE: Service = Service { name: "payment-service", version: env!("CARGO_PKG_VERSION") };
