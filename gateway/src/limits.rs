//! The limits of requests: those of one client each second, bodies that are arriving, and orders in flight. A request
//! beyond a limit is refused before any work is done for it. Calls of payment have a limit of their own, because they go
//! on when a client hangs up.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use service::http::Admission;
use service::problem::Problem;

use crate::client::network;
use crate::config::Config;
use crate::places::{NoPlace, Place, Places};

/// Requests after which idle clients are forgotten, so that memory is bounded.
const FORGET_EVERY: u32 = 10_000;

/// The limits of this gateway; cheap to clone.
#[derive(Clone)]
pub struct Limits {
    /// Apart from the orders: a body may take as long as its deadline, without any work for it.
    bodies: Places,
    orders: Places,
    rate: Option<Arc<Rate>>,
}

/// The requests of each client.
struct Rate {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    seen: AtomicU32,
}

impl Limits {
    /// The limits of these settings.
    pub fn new(config: &Config) -> Self {
        let per_second = NonZeroU32::new(config.gateway_rate_limit);
        let places = || Places::new(config.gateway_max_in_flight.get(), config.gateway_client_share);
        Self {
            bodies: places(),
            orders: places(),
            rate: per_second.map(|rate| {
                let limiter = RateLimiter::keyed(Quota::per_second(rate));
                Arc::new(Rate { limiter, seen: AtomicU32::new(0) })
            }),
        }
    }

    /// A place for a body that is arriving.
    pub(crate) fn body(&self, client: Option<SocketAddr>) -> Result<Place, Problem> {
        place(&self.bodies, client)
    }

    /// A place for an order, or a question about one.
    pub(crate) fn order(&self, client: Option<SocketAddr>) -> Result<Place, Problem> {
        place(&self.orders, client)
    }

    /// What applies the rate to a request before any work is done for it.
    pub fn admission(&self) -> Admission {
        let limits = self.clone();
        Admission::new(move |client| limits.admit(client.map(|address| network(address.ip()))))
    }

    fn admit(&self, client: Option<IpAddr>) -> Result<(), Problem> {
        let (Some(rate), Some(client)) = (&self.rate, client) else { return Ok(()) };
        if rate.seen.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            rate.limiter.retain_recent();
        }
        rate.limiter.check_key(&client).map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            too_many(
                "This client makes too many requests. Wait, then repeat the request.",
                wait.as_secs() + 1,
            )
        })
    }
}

fn place(places: &Places, client: Option<SocketAddr>) -> Result<Place, Problem> {
    places.take(client.map(|address| network(address.ip()))).map_err(|reason| match reason {
        NoPlace::Full => Problem::unavailable("Too many orders are in flight. Repeat the request."),
        NoPlace::OfClient => too_many("This client has too many requests in flight. Wait for one to end.", 1),
    })
}

fn too_many(detail: &'static str, seconds: u64) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests", detail)
        .retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn limits(rate: &str) -> Limits {
        let token = ["gateway", "--payment-token", "0123456789abcdef", "--gateway-rate-limit", rate];
        Limits::new(&Config::parse_from(token))
    }

    #[test]
    fn a_client_above_the_rate_is_refused_with_a_time_to_wait() {
        let limits = limits("3");
        let (busy, other) = (Some(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([127, 0, 0, 2])));
        let refused = (0..10).filter(|_| limits.admit(busy).is_err()).count();
        assert!(refused >= 6, "{refused} of 10 refused at 3 each second");
        assert_eq!(limits.admit(busy).unwrap_err().status, 429);
        assert!(limits.admit(other).is_ok());
    }

    #[test]
    fn limit_zero_disables_the_limit() {
        let limits = limits("0");
        assert!((0..1000).all(|_| limits.admit(Some(IpAddr::from([127, 0, 0, 1]))).is_ok()));
    }
}
