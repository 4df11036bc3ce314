//! The middleware of every request besides its telemetry: it marks the connection as busy, and answers a request
//! that was not admitted or whose handler panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, web};
use futures_util::FutureExt;
use telemetry::http::Observer;

use super::admission::refusal;
use super::connections::AtWork;
use crate::problem::Problem;

/// The middleware; wrap it directly inside of [`observe`](telemetry::http::observe), which records its response.
///
/// # Errors
/// Those of the service behind it, and a problem 500 in place of its panic.
pub(super) async fn guard_request<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let _at_work = AtWork::on(&request);
    if let Some(problem) = refusal(&request) {
        return Err(problem.into());
    }
    let observer = request.app_data::<web::Data<Observer>>().cloned();
    // Inside of `async`, because a middleware can panic before its first future exists.
    let call = AssertUnwindSafe(async move { next.call(request).await });
    call.catch_unwind().await.unwrap_or_else(|panic| {
        if let Some(observer) = observer {
            slog::crit!(observer.log(), "request handler panicked"; "error.message" => message(&*panic));
        }
        Err(Problem::internal().into())
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
