//! The outermost middleware: it finds requests that will be refused before any work is done for them, a span included.

use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use telemetry::http::{Observer, is_operational};
use telemetry::propagation::current_trace_id;

use crate::problem::Problem;

/// Admits a request of a client, or refuses it. Probes and scrapes are not asked for: an overloaded service is not a
/// dead one.
#[derive(Clone)]
pub struct Admission(Arc<Admit>);

type Admit = dyn Fn(&ServiceRequest) -> Result<(), Problem> + Send + Sync;

impl Admission {
    /// Requests are admitted by this function, which must return at once.
    pub fn new(admit: impl Fn(&ServiceRequest) -> Result<(), Problem> + Send + Sync + 'static) -> Self {
        Self(Arc::new(admit))
    }

    /// Asks for a request.
    ///
    /// # Errors
    /// The problem of a request that is not admitted.
    pub fn admit(&self, request: &ServiceRequest) -> Result<(), Problem> {
        (self.0)(request)
    }

    /// Every request is admitted.
    pub fn unlimited() -> Self {
        Self::new(|_| Ok(()))
    }
}

/// The problem of a request that was not admitted, in its extensions.
struct Refused(Problem);

/// The middleware; wrap it outside of [`server_spans`](telemetry::http::server_spans).
///
/// # Errors
/// Those of the service behind it.
pub(super) async fn admit_request<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    if !is_operational(request.path()) {
        let admission = request.app_data::<web::Data<Admission>>();
        let admitted = admission.map_or(Ok(()), |admission| admission.admit(&request));
        let status = match admitted {
            Ok(()) => unroutable(&request),
            Err(problem) => {
                let status = problem.status;
                request.extensions_mut().insert(Refused(problem));
                Some(status)
            }
        };
        let observer = request.app_data::<web::Data<Observer>>();
        if let (Some(observer), Some(status)) = (observer, status) {
            observer.refuse(&request, status);
        }
    }
    next.call(request).await
}

/// The problem of a request that was not admitted, with the trace that it has meanwhile.
pub(super) fn refusal(request: &ServiceRequest) -> Option<Problem> {
    let Refused(mut problem) = request.extensions_mut().remove()?;
    problem.trace_id = current_trace_id();
    Some(problem)
}

/// The status of a path without a resource, and of a method that its resource does not answer.
fn unroutable(request: &ServiceRequest) -> Option<u16> {
    let status = match (request.request().match_pattern(), request.request().match_name()) {
        (None, _) => StatusCode::NOT_FOUND,
        // The name that `resource` gives.
        (_, Some(allowed)) if !answers(allowed, request.method()) => StatusCode::METHOD_NOT_ALLOWED,
        _ => return None,
    };
    Some(status.as_u16())
}

fn answers(allowed: &str, method: &Method) -> bool {
    method == Method::OPTIONS || allowed.split(", ").any(|allowed| allowed == method.as_str())
}
