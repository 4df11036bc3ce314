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

mod observe;
mod observer;
mod request;
mod span;

pub use observe::observe;
pub use observer::{Incoming, Observer};
pub use span::{ServerSpan, server_spans};
