//! The routes of operations: `/metrics`, `/livez`, `/readyz`. They are neither traced, logged nor measured.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::Addr;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, Header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use telemetry::metrics::Format;
use telemetry::{Gather, Observability};

use super::routes::{get, resource};
use crate::problem::Problem;

/// The state of one part that a service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It works.
    Ok,
    /// It does not work, and the service can do its job without it.
    Degraded(String),
    /// It does not work, and the service can't do its job without it.
    Failed(String),
}

type CheckFn = Box<dyn Fn() -> Check + Send + Sync>;

/// The checks of a service, and the source of its metrics.
pub struct Probes {
    pub(super) observability: Addr<Observability>,
    checks: Vec<(&'static str, CheckFn)>,
    is_stopping: AtomicBool,
}

impl Probes {
    /// Probes without checks: ready as soon as they are served.
    pub fn new(observability: Addr<Observability>) -> Self {
        Self { observability, checks: Vec::new(), is_stopping: AtomicBool::new(false) }
    }

    /// Adds a check to `/readyz`. It must return at once, without I/O.
    #[must_use]
    pub fn check(mut self, name: &'static str, check: impl Fn() -> Check + Send + Sync + 'static) -> Self {
        self.checks.push((name, Box::new(check)));
        self
    }

    /// Adds the check that an actor runs: an actor does not restart after a panic.
    #[must_use]
    pub fn actor<A: actix::Actor>(self, name: &'static str, address: Addr<A>) -> Self {
        self.check(name, move || {
            if address.connected() { Check::Ok } else { Check::Failed("the actor has stopped".to_owned()) }
        })
    }

    /// Makes the service not ready for good: it is about to stop.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }
}

/// Adds `/metrics`, `/livez` and `/readyz`; needs [`Probes`] in the app data.
pub(super) fn probe_routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/metrics", "GET, HEAD").route(get().to(metrics)))
        .service(resource("/livez", "GET, HEAD").route(get().to(live)))
        .service(resource("/readyz", "GET, HEAD").route(get().to(ready)));
}

async fn metrics(request: HttpRequest, probes: web::Data<Probes>) -> Result<HttpResponse, Problem> {
    let format = wanted(&request);
    match probes.observability.send(Gather(format)).await {
        Ok(Ok(text)) => Ok(HttpResponse::Ok()
            .content_type(format.content_type())
            .insert_header((header::VARY, "Accept"))
            .body(text)),
        Ok(Err(_)) => Err(Problem::internal()),
        Err(_) => Err(Problem::unavailable("The metrics are not available. Restart the service.")),
    }
}

/// OpenMetrics where the scraper accepts a version that we write and prefers no text to it.
fn wanted(request: &HttpRequest) -> Format {
    let accepted = header::Accept::parse(request).map(|accept| accept.0).unwrap_or_default();
    let best = |kinds: &[&str]| {
        let kept = accepted.iter().filter(|range| {
            let version = range.item.get_param("version").map(|version| version.as_str());
            kinds.contains(&range.item.essence_str())
                && (range.item.type_() == "text" || matches!(version, None | Some("1.0.0")))
        });
        kept.map(|range| range.quality).reduce(|one, other| if other > one { other } else { one })
    };
    let text = best(&["text/plain"]).or_else(|| best(&["text/*", "*/*"])).unwrap_or(header::Quality::MIN);
    match best(&["application/openmetrics-text"]) {
        Some(quality) if quality > header::Quality::ZERO && quality >= text => Format::OpenMetrics,
        _ => Format::Text,
    }
}

async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "alive"}))
}

/// 200 while the service can do its job and is not about to stop, else 503; the body has every check.
async fn ready(probes: web::Data<Probes>) -> HttpResponse {
    let mut states = BTreeMap::new();
    let mut overall = ("ready", StatusCode::OK);
    for (name, check) in &probes.checks {
        let state = match check() {
            Check::Ok => "ok".to_owned(),
            Check::Degraded(reason) => format!("degraded: {reason}"),
            Check::Failed(reason) => {
                overall = ("not ready", StatusCode::SERVICE_UNAVAILABLE);
                format!("failed: {reason}")
            }
        };
        states.insert(*name, state);
    }
    if probes.is_stopping.load(Ordering::Relaxed) {
        overall = ("stopping", StatusCode::SERVICE_UNAVAILABLE);
    }
    HttpResponse::build(overall.1).json(json!({"status": overall.0, "checks": states}))
}
