//! HTTP servers: one span, one measurement and one log line for each request.
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
mod span;

pub use observe::{Incoming, Observer, observe};
pub use span::{ServerSpan, server_spans};

/// What the conventions call a method that they don't know.
const OTHER_METHOD: &str = "_OTHER";

/// The methods of the conventions, and the one that stands for all others.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER_METHOD];

/// The route template that was matched, for spans and labels: never the raw path.
fn route(request: &actix_web::HttpRequest) -> Option<String> {
    request.match_pattern()
}

/// A method is client input: anything unheard of must become neither a label nor the name of a span.
fn known_method(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| *known == method).unwrap_or(OTHER_METHOD)
}

/// What a client chose, short enough to be kept by the thousand while a receiver is away.
fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(256)]
}

/// Probes and scrapes come every few seconds; traces and logs of them would bury the rest.
fn is_operational(path: &str) -> bool {
    matches!(path, "/metrics" | "/livez" | "/readyz")
}
