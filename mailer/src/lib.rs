//! The mailer: turns payment events into e-mails, one for each.
//!
//! ```text
//!  RabbitMQ ── delivery ──► [Consumer] ── inbox row, commit, ack
//!     parking queue             └──SendDueEmails──► [Postman] ── inbox ─► SMTP or file
//!            └──── GET /dead-letters, POST …/replay ── [DeadLetters] ──┘
//! ```
//!
//! A name in brackets is an actor. A delivery is acknowledged once its row is committed; the attempts to send are counted in
//! the inbox, so that a slow mail server never fills the queue.

pub mod config;
pub mod consumer;
pub mod dead_letter;
pub mod dead_letters;
pub mod email;
pub mod http;
pub mod metrics;
pub mod parking;
pub mod postman;
pub mod simulation;
pub mod store;
pub mod transport;

mod redaction;

use telemetry::Service;

/// The name of this service in every signal.
pub const SERVICE: Service = Service { name: "email-service", version: env!("CARGO_PKG_VERSION") };
