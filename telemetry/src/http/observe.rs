//! What is the same for every request: its duration, its log line, its trace id in the answer, and a
//! problem document when the handler panics.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use clap::ValueEnum;
use futures_util::FutureExt;
use prometheus::IntGauge;
use slog::Logger;

use super::connections::AtWork;
use super::{METHODS, bounded, is_operational, known_method, route};
use crate::metrics::{Durations, Label, Registry, gauge};
use crate::problem::Problem;
use crate::propagation::{TRACERESPONSE, traceparent};
use crate::trace;

/// Templates come from code, so that these bounds are met by a mistake alone: a route made for each customer, say.
const MOST_ROUTES: usize = 200;
const MOST_STATUSES: usize = 64;

/// What becomes of a trace that a client brings along.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Incoming {
    /// The request becomes part of it.
    #[default]
    Continue,
    /// The request starts a trace of its own, linked to it: for a service that faces strangers.
    Link,
}

/// Where [`observe`] writes to; one for each service, in its app data.
#[derive(Clone)]
pub struct Observer {
    durations: Durations<3>,
    pub(crate) active: IntGauge,
    pub(crate) log: Logger,
    pub(super) incoming: Incoming,
}

impl Observer {
    /// Registers `http_request_duration_seconds{method,route,status}` and `http_server_active_requests`.
    ///
    /// The series of `routes` (method, template, status of success) exist from the start, those of their
    /// failures included: a series that is born with its first increment hides it from `rate()`.
    ///
    /// # Errors
    /// When the metric is registered already.
    pub fn register(
        registry: &Registry,
        log: &Logger,
        routes: &[(&str, &str, &str)],
    ) -> Result<Self, crate::Error> {
        let help = "Time to answer an HTTP request, by route template and status.";
        let durations = Durations::register(
            registry,
            ("http_request_duration_seconds", help),
            [
                Label::closed("method", &METHODS),
                Label::open("route", MOST_ROUTES),
                Label::open("status", MOST_STATUSES),
            ],
        )?;
        for (method, route, success) in routes {
            for status in [*success, "500", "503", "504"] {
                durations.expect([*method, *route, status]);
            }
        }
        let help = "HTTP requests that are being answered.";
        let active = gauge(registry, "http_server_active_requests", help)?;
        Ok(Self { durations, active, log: log.clone(), incoming: Incoming::default() })
    }

    /// The same for a service that treats the traces of its clients like this.
    #[must_use]
    pub fn with_incoming(self, incoming: Incoming) -> Self {
        Self { incoming, ..self }
    }
}

/// The middleware; wrap it directly inside of [`server_spans`](super::server_spans).
///
/// # Errors
/// Those of the service behind it, and a 500 problem in place of its panic.
pub async fn observe<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let _at_work = AtWork::on(&request);
    let (Some(observer), false) =
        (request.app_data::<web::Data<Observer>>().cloned(), is_operational(request.path()))
    else {
        return next.call(request).await;
    };
    let _active = Active::count(&observer.active);
    let started = Instant::now();
    let method = known_method(request.method().as_str());
    let route = route(request.request());
    let path = bounded(request.path()).to_owned();

    // Inside of `async`, because a middleware can panic before its first future exists.
    let call = AssertUnwindSafe(async move { next.call(request).await });
    let outcome = call.catch_unwind().await.unwrap_or_else(|panic| {
        slog::crit!(observer.log, "request handler panicked"; "error.message" => panic_message(&*panic));
        Err(Problem::internal().into())
    });

    let status = match &outcome {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let took = started.elapsed();
    let label = route.as_deref().unwrap_or("unmatched");
    observer.durations.observe([method, label, status.as_str()], took);
    slog::info!(observer.log, "request answered";
        "event.duration" => took.as_nanos(),
        "http.response.status_code" => status.as_u16(),
        "url.path" => path,
        "http.route" => route,
        "http.request.method" => method,
    );
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

/// One more request until it is dropped, which happens early to that of a client that hangs up.
struct Active(IntGauge);

impl Active {
    fn count(active: &IntGauge) -> Self {
        active.inc();
        Self(active.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The same form as `traceparent`, with the span that answered.
fn traceresponse() -> Option<HeaderValue> {
    trace::current().and_then(|span| HeaderValue::try_from(traceparent::write(&span)).ok())
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
