//! HTTP servers: one span, one measurement and one log line for each request, the routes of operations, and an
//! end to connections that are held on to.
//!
//! ```no_run
//! # use actix_web::{App, middleware::from_fn, web};
//! # fn app(observer: telemetry::http::Observer, probes: web::Data<telemetry::http::Probes>) {
//! App::new()
//!     .app_data(web::Data::new(observer))
//!     .app_data(probes)
//!     .configure(telemetry::http::probe_routes)
//!     .wrap(from_fn(telemetry::http::observe))
//!     .wrap(telemetry::http::server_spans());
//! # }
//! ```

mod body;
mod connections;
mod healthcheck;
mod observe;
mod probes;
mod span;

pub use body::read_json;
pub use connections::guard_connection;
pub use healthcheck::healthcheck;
pub use observe::{Incoming, Observer, observe};
pub use probes::{Check, Probes, probe_routes};
pub use span::{ServerSpan, server_spans};

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::{HttpResponse, Resource, Route, guard, web};

use crate::problem::Problem;

/// What the conventions call a method that they don't know.
const OTHER_METHOD: &str = "_OTHER";

/// The methods of the conventions, and the one that stands for all others.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER_METHOD];

/// A resource that answers OPTIONS with `Allow: {allowed}`, and methods it has no route for with 405 and the same.
pub fn resource(path: &str, allowed: &'static str) -> Resource {
    web::resource(path).default_service(web::to(move |method: Method| async move {
        match method {
            Method::OPTIONS => Ok(HttpResponse::NoContent().insert_header((ALLOW, allowed)).finish()),
            _ => Err(Problem::method_not_allowed(allowed)),
        }
    }))
}

/// The route of GET, and of HEAD, which is answered alike but without the body.
pub fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// The answer for every path that has no resource.
///
/// # Errors
/// Always: 404.
pub async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("There is nothing at this path."))
}

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
