//! HTTP servers of actix-web: one span, one measurement and one log line for each request.
//!
//! ```no_run
//! # use actix_web::{App, middleware::from_fn, web};
//! # fn app(observer: telemetry::http::Observer) {
//! App::new()
//!     .app_data(web::Data::new(observer))
//!     .wrap(from_fn(telemetry::http::observe))
//!     .wrap(telemetry::http::server_spans());
//! # }
//! ```
//!
//! A server with `h1_allow_half_closed(false)` notices every client that disconnects before its answer, which is recorded
//! with status 499; by default actix-web notices a reset of the connection alone.

mod forwarded;
mod observe;
mod observer;
mod origin;
mod refusals;
mod request;
mod span;

pub use forwarded::{ForwardedHeader, Proxies};
pub use observe::observe;
pub use observer::{Incoming, Observer};
pub use origin::client;
pub use request::is_operational;
pub use span::{ServerSpan, server_spans};
