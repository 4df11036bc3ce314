//! Resources that answer every method, and the answer of a path without a resource.

use actix_web::http::Method;
use actix_web::http::header::ALLOW;
use actix_web::{HttpResponse, Resource, Route, guard, web};

use crate::problem::Problem;

/// A resource that answers OPTIONS with `Allow: {allowed}`, and methods it has no route for with 405 and the same.
///
/// Its name is `allowed`, for the middleware that finds wrong methods before a request is routed.
pub fn resource(path: &str, allowed: &'static str) -> Resource {
    web::resource(path).name(allowed).default_service(web::to(move |method: Method| async move {
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

/// The 404 of every path that has no resource.
pub(super) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found("There is nothing at this path."))
}
