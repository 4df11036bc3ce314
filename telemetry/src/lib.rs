//! Traces, logs and metrics of an actix service, owned by one actor.
//!
//! ```text
//!  tracing span ──► Tracer ──────┬► Pipeline ──► Spool ──► OTLP/HTTP, for each receiver
//!  slog record  ──► RecordDrain ─┘
//!  slog record  ──► EcsDrain ────► LogQueue ──► stdout, and a file of JSON lines
//!  counter, histogram ──► Registry ◄── Gather ◄── GET /metrics
//! ```
//!
//! [`Observability`] owns the far ends of all three. A service makes it first, registers its metrics,
//! starts it, and sends it [`Shutdown`] last. What a service uses on the way, in reading order:
//! [`http`] (server spans, access log), [`propagation`] and [`Traced`] (one trace over HTTP, AMQP, rows and mailboxes).

mod clock;
mod error;
#[cfg(test)]
mod full_disk;
mod hex;
mod log;
mod observability;
mod otlp;
mod pipeline;
mod recorder;
mod scratch;
mod settings;
mod text;
mod trace;
mod traced;

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod http;
pub mod metrics;
pub mod propagation;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;

pub use error::{Chain, Error};
pub use observability::{Flush, Gather, Health, HealthReport, Observability, Service, Shutdown};
pub use settings::Settings;
pub use traced::Traced;

/// The crates whose types appear in this crate's interface, in the one version that fits.
pub use {opentelemetry, prometheus, slog, tracing};
