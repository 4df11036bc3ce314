//! The place of a request, kept until its response has been handed to the connection: one that the client does not read
//! takes memory, and its place with it.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage, HttpRequest};

use crate::places::Place;

/// Keeps `place` until the response to `request` has been sent, or the client has disconnected.
pub(crate) fn hold(request: &HttpRequest, place: Place) {
    request.extensions_mut().insert(place);
}

/// The middleware of a resource whose handlers [`hold`] places.
///
/// # Errors
/// Those of the service behind it.
pub(crate) async fn hold_place<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    let place = response.request().extensions_mut().remove::<Place>();
    Ok(response.map_body(|_, body| Held { body: body.boxed(), _place: place }))
}

/// A body that has the place of its request.
struct Held {
    body: BoxBody,
    _place: Option<Place>,
}

impl MessageBody for Held {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, HttpResponse};
    use service::http::{get, resource};
    use service::problem::Problem;

    use super::*;
    use crate::places::Places;

    #[actix_rt::test]
    async fn a_place_is_free_when_the_response_has_been_sent() {
        let places = Places::new(1, 100);
        let of_handler = places.clone();
        let handler = move |request: HttpRequest| {
            if let Ok(place) = of_handler.take(None) {
                hold(&request, place);
            }
            let is_good = request.path() == "/good";
            std::future::ready(if is_good {
                Ok(HttpResponse::Ok().body("done"))
            } else {
                Err(Problem::internal())
            })
        };
        let orders = resource("/{kind}", "GET").route(get().to(handler)).wrap(from_fn(hold_place));
        let app = init_service(App::new().service(orders)).await;
        for (path, status) in [("/good", 200), ("/bad", 500)] {
            let response = call_service(&app, TestRequest::get().uri(path).to_request()).await;
            assert_eq!(response.status(), status);
            assert!(places.take(None).is_err(), "the response of {path} is not sent yet");
            to_bytes(response.into_body()).await.map_err(drop).unwrap();
            assert!(places.take(None).is_ok(), "the response of {path} is sent");
        }
    }
}
