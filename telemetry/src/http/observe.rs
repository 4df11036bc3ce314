//! The middleware that records every request: its duration, its log line, and its trace id in the response.

use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use tracing::Span;

use super::observer::{Counted, Observer};
use super::refusals::Sample;
use super::request::{bounded, is_operational, known_method, route};
use crate::propagation::{TRACERESPONSE, TraceContext, annotate};

/// The status of a request whose client has disconnected before the answer, as nginx has it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The middleware; wrap it directly inside of [`server_spans`](super::server_spans).
///
/// # Errors
/// Those of the service behind it.
pub async fn observe<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let (Some(observer), false) =
        (request.app_data::<web::Data<Observer>>().cloned(), is_operational(request.path()))
    else {
        return next.call(request).await;
    };
    let mut recording = Recording {
        span: Span::current(),
        _counted: observer.count(),
        observer,
        started: Instant::now(),
        method: known_method(request.method().as_str()),
        route: route(request.request()),
        path: bounded(request.path()).to_owned(),
        sample: Sample::of(&request.extensions()),
        is_answered: false,
    };
    let outcome = next.call(request).await;
    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    recording.finish(status.as_u16());
    let Some(value) = traceresponse() else { return outcome };
    let header = HeaderName::from_static(TRACERESPONSE);
    match outcome {
        Ok(mut response) => {
            response.headers_mut().insert(header, value);
            Ok(response)
        }
        Err(error) => {
            let mut response = error.error_response();
            response.headers_mut().insert(header, value);
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// A request under way. actix drops it unanswered when the client disconnects.
struct Recording {
    /// Not entered when the request is dropped.
    span: Span,
    observer: web::Data<Observer>,
    started: Instant,
    method: &'static str,
    route: Option<String>,
    path: String,
    /// Of a request that was refused before its span began.
    sample: Option<Sample>,
    is_answered: bool,
    _counted: Counted,
}

impl Recording {
    fn finish(&mut self, status: u16) {
        self.is_answered = true;
        let took = self.started.elapsed();
        let label = self.route.as_deref().unwrap_or("unmatched");
        self.observer.measure([self.method, label, &status.to_string()], took);
        let suppressed = match self.sample.or_else(|| self.observer.sample(status)) {
            Some(Sample::Suppressed) => return,
            Some(Sample::Recorded { suppressed }) => Some(suppressed).filter(|number| *number > 0),
            None => None,
        };
        let message = match status {
            CLIENT_CLOSED_REQUEST => "client disconnected",
            _ => "request answered",
        };
        slog::info!(self.observer.log(), "{}", message;
            "omnitrace.requests.suppressed" => suppressed,
            "event.duration" => took.as_nanos(),
            "http.response.status_code" => status,
            "url.path" => &self.path,
            "http.route" => self.route.as_deref(),
            "http.request.method" => self.method,
        );
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.is_answered && !std::thread::panicking() {
            self.span.clone().in_scope(|| {
                annotate("http.response.status_code", i64::from(CLIENT_CLOSED_REQUEST));
                self.finish(CLIENT_CLOSED_REQUEST);
            });
        }
    }
}

/// The `traceparent` of the span that answers.
fn traceresponse() -> Option<HeaderValue> {
    let context = TraceContext::current();
    let traceparent = context.fields().find_map(|(name, value)| (name == "traceparent").then_some(value));
    HeaderValue::try_from(traceparent?).ok()
}
