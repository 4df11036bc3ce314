//! What is recorded of every request: its duration, its log line, and its trace id in the response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use clap::ValueEnum;
use prometheus::IntGauge;
use slog::Logger;

use super::{METHODS, bounded, is_operational, known_method, route};
use crate::metrics::{Durations, Label, Registry, gauge};
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
    active: Active,
    log: Logger,
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
        let gauge = gauge(registry, "http_server_active_requests", help)?;
        let active = Active { requests: Arc::default(), gauge };
        Ok(Self { durations, active, log: log.clone(), incoming: Incoming::default() })
    }

    /// Requests that are being answered.
    pub fn active_requests(&self) -> usize {
        self.active.requests.load(Ordering::Relaxed)
    }

    /// The logger of the service.
    pub fn log(&self) -> &Logger {
        &self.log
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
    let _counted = observer.active.count();
    let started = Instant::now();
    let method = known_method(request.method().as_str());
    let route = route(request.request());
    let path = bounded(request.path()).to_owned();

    let outcome = next.call(request).await;
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

/// The number of requests that are being answered, and the gauge that shows it.
#[derive(Clone)]
struct Active {
    requests: Arc<AtomicUsize>,
    gauge: IntGauge,
}

/// A request that is counted until this is dropped; actix drops the future of a client that hangs up.
struct Counted(Active);

impl Active {
    fn count(&self) -> Counted {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.gauge.inc();
        Counted(self.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.dec();
    }
}

/// The same form as `traceparent`, with the span that answered.
fn traceresponse() -> Option<HeaderValue> {
    trace::current().and_then(|span| HeaderValue::try_from(traceparent::write(&span)).ok())
}
