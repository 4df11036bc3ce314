//! The limits of requests: those of one client each second, bodies that are arriving, and orders in flight. A request
//! beyond a limit is refused before any work is done for it. Calls of payment have a limit of their own, because they go
//! on when a client hangs up.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use service::http::Admission;
use service::problem::Problem;

use crate::client::client;
use crate::config::Config;
use crate::places::{NoPlace, Place, Places};
use crate::rate::{Decision, Rate};

/// The limits of this gateway; cheap to clone.
#[derive(Clone)]
pub struct Limits {
    /// Apart from the orders: a body may take as long as its deadline, without any work for it.
    bodies: Places,
    orders: Places,
    rate: Option<Arc<Rate>>,
}

impl Limits {
    /// The limits of these settings, with this rate for each client.
    pub fn new(config: &Config, rate: Option<Rate>) -> Self {
        let places = || Places::new(config.gateway_max_in_flight.get(), config.gateway_client_share);
        Self { bodies: places(), orders: places(), rate: rate.map(Arc::new) }
    }

    /// A place for a body that is arriving.
    pub(crate) fn body(&self, client: Option<IpAddr>) -> Result<Place, Problem> {
        place(&self.bodies, client)
    }

    /// A place for an order, or a question about one.
    pub(crate) fn order(&self, client: Option<IpAddr>) -> Result<Place, Problem> {
        place(&self.orders, client)
    }

    /// What applies the rate of this gateway to a request before any work is done for it.
    pub fn admission(&self) -> Admission {
        let rate = self.rate.clone();
        Admission::new(move |request| {
            let (Some(rate), Some(client)) = (&rate, client(request.request())) else { return Ok(()) };
            let decision = rate.check(client);
            request.extensions_mut().insert(decision);
            admitted(decision)
        })
    }
}

fn place(places: &Places, client: Option<IpAddr>) -> Result<Place, Problem> {
    places.take(client).map_err(|reason| match reason {
        NoPlace::Full => Problem::unavailable("Too many orders are in flight. Repeat the request."),
        NoPlace::OfClient => too_many("This client has too many requests in flight. Wait for one to end.", 1),
    })
}

fn admitted(decision: Decision) -> Result<(), Problem> {
    let Some(wait) = decision.wait else { return Ok(()) };
    let detail = "This client makes too many requests. Wait, then repeat the request.";
    let problem = too_many(detail, seconds(wait).max(1));
    Err(headers(decision).into_iter().fold(problem, |problem, (name, value)| problem.header(name, value)))
}

fn too_many(detail: &'static str, seconds: u64) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", detail)
        .retry_after(seconds)
}

/// The middleware of a resource that applies the rate which all gateways share, and tells the client where it stands.
///
/// # Errors
/// Those of the resource, and 429.
pub(crate) async fn limit<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let own = request.extensions().get::<Decision>().copied();
    let limits = request.app_data::<web::Data<Limits>>().cloned();
    let shared = match (limits.and_then(|limits| limits.rate.clone()), client(request.request())) {
        (Some(rate), Some(client)) => rate.check_shared(client).await,
        _ => None,
    };
    let Some(decision) = shared.or(own) else { return next.call(request).await };
    admitted(decision)?;
    match next.call(request).await {
        Ok(mut response) => {
            tell(response.headers_mut(), decision);
            Ok(response)
        }
        Err(error) => {
            let mut response = error.error_response();
            tell(response.headers_mut(), decision);
            Err(InternalError::from_response(error, response).into())
        }
    }
}

/// The headers of draft-ietf-httpapi-ratelimit-headers-10.
fn headers(Decision { limit, remaining, reset, .. }: Decision) -> [(HeaderName, String); 2] {
    [
        (HeaderName::from_static("ratelimit-policy"), format!("\"client\";q={limit};w=1")),
        (HeaderName::from_static("ratelimit"), format!("\"client\";r={remaining};t={}", seconds(reset))),
    ]
}

fn tell(response: &mut HeaderMap, decision: Decision) {
    for (name, value) in headers(decision) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.insert(name, value);
        }
    }
}

/// Whole seconds, and no less than the time.
fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use actix_web::body::BoxBody;
    use actix_web::middleware::from_fn;
    use actix_web::test::{TestRequest, init_service, try_call_service};
    use actix_web::{App, HttpResponse};
    use clap::Parser;
    use slog::{Discard, Logger};
    use telemetry::metrics::Registry;

    use super::*;
    use crate::metrics::Metrics;

    const SETTINGS: [&str; 3] = ["gateway", "--payment-token", "0123456789abcdef"];

    fn limits(rate: u32) -> Limits {
        let config = Config { gateway_rate_limit: rate, ..Config::parse_from(SETTINGS) };
        let metrics = Metrics::register(&Registry::new()).unwrap();
        let rate = Rate::new(&config, &metrics, &Logger::root(Discard, slog::o!())).unwrap();
        Limits::new(&config, rate)
    }

    /// The answers to so many requests.
    async fn answers(limits: Limits, requests: usize) -> Vec<(u16, HeaderMap)> {
        let admission = limits.admission();
        let admit = move |request: ServiceRequest, next: Next<BoxBody>| {
            let admitted = admission.admit(&request);
            async move {
                admitted?;
                next.call(request).await
            }
        };
        let orders = web::resource("/").route(web::post().to(HttpResponse::Ok)).wrap(from_fn(limit));
        let app = App::new().app_data(web::Data::new(limits)).service(orders).wrap(from_fn(admit));
        let app = init_service(app).await;
        let mut answers = Vec::new();
        for _ in 0..requests {
            let request = TestRequest::post().peer_addr("192.0.2.1:9".parse().unwrap()).to_request();
            let response = match try_call_service(&app, request).await {
                Ok(response) => response.into_parts().1.map_into_boxed_body(),
                Err(error) => error.error_response(),
            };
            answers.push((response.status().as_u16(), response.headers().clone()));
        }
        answers
    }

    #[actix_rt::test]
    async fn a_client_above_the_rate_is_refused_with_a_time_to_wait() {
        let answers = answers(limits(3), 10).await;
        let refused = answers.iter().filter(|(status, _)| *status == 429).count();
        assert!(refused >= 6, "{refused} of 10 refused at 3 each second");
        let text =
            |number: usize, name: &str| answers[number].1.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(answers[0].0, 200);
        assert_eq!(text(0, "ratelimit"), Some("\"client\";r=2;t=1"));
        for number in [0, 9] {
            assert_eq!(text(number, "ratelimit-policy"), Some("\"client\";q=3;w=1"));
        }
        assert_eq!((text(9, "ratelimit"), text(9, "retry-after")), (Some("\"client\";r=0;t=1"), Some("1")));
    }

    #[actix_rt::test]
    async fn limit_zero_disables_the_limit() {
        let answers = answers(limits(0), 1000).await;
        assert!(answers.iter().all(|(status, headers)| *status == 200 && !headers.contains_key("ratelimit")));
    }
}
