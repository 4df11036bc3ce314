//! What is recorded of requests in all: durations, and the number under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::dev::ServiceRequest;
use actix_web::{HttpMessage, HttpRequest};
use prometheus::{IntCounter, IntGauge};
use slog::Logger;

use super::forwarded::{Found, Proxies};
use super::refusals::{Refusals, Sample};
use super::request::METHODS;
use crate::metrics::{Durations, Label, Registry, counter, gauge};

/// Templates come from code, so that these bounds are met by a mistake alone: a route made for each customer, say.
const MAX_ROUTES: usize = 200;
const MAX_STATUSES: usize = 64;

/// What becomes of a trace that a client brings along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum Incoming {
    /// The request becomes part of it.
    #[default]
    Continue,
    /// The request starts a trace of its own, linked to it: for a service whose clients are not known.
    Link,
}

/// Where [`observe`](super::observe) writes to; one for each service, in its app data.
#[derive(Clone)]
pub struct Observer {
    durations: Durations<3>,
    active: Active,
    refusals: Refusals,
    log: Logger,
    incoming: Incoming,
    proxies: Proxies,
    malformed: IntCounter,
}

impl Observer {
    /// Registers `http_request_duration_seconds{method,route,status}`, `http_server_active_requests` and
    /// `http_forwarded_malformed_total`.
    ///
    /// The series of `routes` (method, template, status of success) exist from the start, those of their failures
    /// included: a series that begins with its first increment hides it from `rate()`.
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
                Label::open("route", MAX_ROUTES),
                Label::open("status", MAX_STATUSES),
            ],
        )?;
        for (method, route, success) in routes {
            for status in [*success, "499", "500", "503", "504"] {
                durations.expect([*method, *route, status]);
            }
        }
        let help = "HTTP requests that are being answered.";
        let gauge = gauge(registry, "http_server_active_requests", help)?;
        let active = Active { requests: Arc::default(), gauge };
        let help = "Forwarding headers of trusted proxies that could not be read.";
        let malformed = counter(registry, "http_forwarded_malformed_total", help)?;
        Ok(Self {
            durations,
            active,
            refusals: Refusals::new(),
            log: log.clone(),
            incoming: Incoming::default(),
            proxies: Proxies::default(),
            malformed,
        })
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

    /// The same for a service behind these proxies: what they say of their clients is believed.
    #[must_use]
    pub fn with_proxies(self, proxies: Proxies) -> Self {
        Self { proxies, ..self }
    }

    /// Samples a request that will be answered with this status without any work, before its span begins: of 401, 404, 405
    /// and 429, one each second has a span and a log line after a burst of 50, whatever trace it comes with. All are
    /// measured.
    pub fn refuse(&self, request: &ServiceRequest, status: u16) {
        if let Some(sample) = self.refusals.sample(status) {
            request.extensions_mut().insert(sample);
        }
    }

    /// Whether a response with this status has a log line; one that was not refused before its span began.
    pub(super) fn sample(&self, status: u16) -> Option<Sample> {
        self.refusals.sample(status)
    }

    pub(super) fn incoming(&self) -> Incoming {
        self.incoming
    }

    pub(super) fn find<'a>(&self, request: &'a HttpRequest) -> Found<'a> {
        self.proxies.find(request)
    }

    pub(super) fn count_malformed(&self) {
        self.malformed.inc();
    }

    pub(super) fn measure(&self, labels: [&str; 3], took: Duration) {
        self.durations.observe(labels, took);
    }

    /// Counts a request as being answered until the guard is dropped.
    pub(super) fn count(&self) -> Counted {
        self.active.requests.fetch_add(1, Ordering::Relaxed);
        self.active.gauge.inc();
        Counted(self.active.clone())
    }
}

/// The number of requests that are being answered, and the gauge that shows it.
#[derive(Clone)]
struct Active {
    requests: Arc<AtomicUsize>,
    gauge: IntGauge,
}

/// A request that is being answered.
pub(super) struct Counted(Active);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.dec();
    }
}
