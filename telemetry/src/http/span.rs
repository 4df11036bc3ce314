//! SERVER spans, by the stable HTTP semantic conventions.

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::USER_AGENT;
use actix_web::{Error, HttpMessage, web};
use tracing::{Span, field::Empty};
use tracing_actix_web::{RootSpanBuilder, TracingLogger};

use super::observer::{Incoming, Observer};
use super::origin::origin;
use super::refusals::Sample;
use super::request::{
    OTHER_METHOD, bounded, header, is_operational, known_method, propagation_header, route,
};
use crate::propagation::{TraceContext, link};

/// The middleware that opens a SERVER span for each request; wrap it outermost.
pub fn server_spans() -> TracingLogger<ServerSpan> {
    TracingLogger::new()
}

/// Builds the span of a request, as the child of the `traceparent` that came with it, or linked to it where the
/// [`Observer`] says so.
pub struct ServerSpan;

impl RootSpanBuilder for ServerSpan {
    fn on_request_start(request: &ServiceRequest) -> Span {
        let is_suppressed = Sample::of(&request.extensions()) == Some(Sample::Suppressed);
        if is_suppressed || is_operational(request.path()) {
            return Span::none();
        }
        let sent = request.method().as_str();
        let method = known_method(sent);
        // Names and labels come from a closed set; the method as it was sent is an attribute.
        let (verb, original) = if method == OTHER_METHOD { ("HTTP", Some(sent)) } else { (method, None) };
        let route = route(request.request());
        let name = match &route {
            Some(route) => format!("{verb} {route}"),
            // The raw path would make as many names as there are paths.
            None => verb.to_owned(),
        };
        let observer = request.app_data::<web::Data<Observer>>();
        let origin = origin(request.request());
        let span = tracing::info_span!(
            "http.server",
            otel.name = name,
            otel.kind = "server",
            http.request.method = method,
            http.request.method_original = original.map(bounded),
            http.route = route,
            http.response.status_code = Empty,
            url.path = bounded(request.path()),
            url.scheme = origin.scheme,
            server.address = origin.host.as_str(),
            server.port = origin.port,
            client.address = origin.client.map(|client| client.to_string()),
            user_agent.original = header(request.request(), USER_AGENT.as_str()).map(bounded),
            network.protocol.version = version(request),
            error.type = Empty,
            otel.status_code = Empty,
        );
        let incoming = TraceContext::read(|name| propagation_header(request.request(), name));
        match observer.map(|observer| observer.incoming()) {
            Some(Incoming::Link) => {
                link(&span, &incoming);
                incoming.baggage_only().adopt(&span);
            }
            _ => incoming.adopt(&span),
        }
        span
    }

    fn on_request_end<B: MessageBody>(span: Span, outcome: &Result<ServiceResponse<B>, Error>) {
        let status = match outcome {
            Ok(response) => response.response().status(),
            Err(error) => error.as_response_error().status_code(),
        };
        span.record("http.response.status_code", i64::from(status.as_u16()));
        // A 4xx is the client's error: for a server the conventions leave the status unset.
        if status.is_server_error() {
            span.record("error.type", status.as_str());
            span.record("otel.status_code", "ERROR");
        }
    }
}

fn version(request: &ServiceRequest) -> &'static str {
    if request.version() == actix_web::http::Version::HTTP_10 { "1.0" } else { "1.1" }
}
