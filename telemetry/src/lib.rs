//! Traces, logs and metrics of a service, put together from the parts of OpenTelemetry, `tracing`, `slog` and Prometheus.
//!
//! ```text
//!  tracing span, OpenTelemetry span ─► SdkTracer ──┐
//!  slog record, tracing event, log record ─► slog ─┼─► Pipeline ─► Spool ─► OTLP/HTTP, for each receiver
//!  counter, histogram ─► Registry ─────────────────┘
//!                        Registry ◄── gather ◄── GET /metrics
//!  slog record ─► LogQueue ─► stdout, and a file of JSON lines
//! ```
//!
//! [`Observability`] owns the far ends of all three. A service makes it first, registers its metrics, and shuts it down
//! last. In reading order: [`Settings`], [`Observability`], [`propagation`] and [`Traced`] (one trace over HTTP, AMQP,
//! rows and mailboxes), [`http`] (server spans, access log), [`metrics`].

#[cfg(feature = "actix")]
mod actor;
mod builder;
mod clock;
mod error;
#[cfg(test)]
mod full_disk;
mod lock;
mod log;
mod observability;
mod pipeline;
mod resource;
mod settings;
mod trace;
#[cfg(feature = "actix")]
mod traced;

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod certificate;
#[cfg(feature = "actix")]
pub mod http;
pub mod metrics;
pub mod propagation;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tls;

#[cfg(feature = "actix")]
pub use actor::{Flush, Gather, GetLogLevel, GetOpenSpans, Health, SetLogLevel, Shutdown};
pub use builder::Builder;
pub use error::{Chain, Error};
pub use observability::{HealthReport, LogLevel, Observability};
pub use resource::Service;
pub use settings::{Settings, Variables};
pub use trace::OpenSpan;
#[cfg(feature = "actix")]
pub use traced::Traced;

/// The crates whose types appear in this crate's interface, in the one version that fits.
pub use {opentelemetry, prometheus, slog, tracing};
