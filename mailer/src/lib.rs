//! The mailer: turns payment events into e-mails, one for each.
//!
//! ```text
//!  RabbitMQ ── delivery ──► [Consumer] ── inbox row, commit, ack
//!     parking queue             └──Deliver──► [Postman] ── inbox ─► SMTP or file
//!            └──── GET /dead-letters, POST …/replay ── [DeadLetters] ──┘
//! ```
//!
//! A name in brackets is an actor. A delivery is acknowledged once its row is committed; sending has its own
//! time, its own attempts and its own memory of them, so that a slow mail server never fills the queue.

pub mod config;
pub mod consumer;
pub mod dead_letters;
pub mod http;
pub mod letter;
pub mod metrics;
pub mod parking;
pub mod postman;
pub mod simulation;
pub mod smtp;
pub mod store;
pub mod transport;

use telemetry::Service;

/// The name of this service in every signal.
pub const SERVICE: Service = Service { name: "email-service", version: env!("CARGO_PKG_VERSION") };
