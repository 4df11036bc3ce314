//! The service under test, its receiver, and requests to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{OnceLock, mpsc};
use std::thread;

use actix::prelude::*;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, HttpServer, web};
use opentelemetry_proto::tonic::trace::v1::Span;
use telemetry::http::{Observer, observe, server_spans};

use crate::handlers::{self, Keeper};
use crate::support::{Bench, endpoint};
use testkit::otlp::OtlpSink;
use testkit::wait::eventually;

/// Everything a test of this binary shares with the others; each keeps to its own traces and routes.
pub(crate) struct Observed {
    pub(crate) bench: Bench,
    pub(crate) sink: OtlpSink,
    pub(crate) url: String,
}

pub(crate) fn observed() -> &'static Observed {
    static OBSERVED: OnceLock<Observed> = OnceLock::new();
    OBSERVED.get_or_init(|| {
        let sink = OtlpSink::start();
        let bench = Bench::start(&[
            &endpoint(&sink),
            "--log-level=info,service::handlers::quiet=error",
            "--baggage-allowed=tenant",
        ]);
        let url = serve(&bench);
        Observed { bench, sink, url }
    })
}

fn serve(bench: &Bench) -> String {
    let routes = [("GET", "/orders/{id}", "200"), ("POST", "/born/early", "201")];
    let observer = Observer::register(&bench.registry, &bench.log, &routes).unwrap();
    let log = bench.log.clone();
    let (ready, started) = mpsc::channel();
    thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let keeper = web::Data::new(Keeper.start());
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(web::Data::new(observer.clone()))
                    .app_data(keeper.clone())
                    .app_data(web::Data::new(log.clone()))
                    .configure(routes_of_the_service)
                    .wrap(from_fn(observe))
                    .wrap(server_spans())
            });
            // One worker: a later request is served by the thread that has served the one before.
            let server = server.workers(1).disable_signals().h1_allow_half_closed(false);
            let server = server.bind("127.0.0.1:0").unwrap();
            ready.send(format!("http://{}", server.addrs()[0])).unwrap();
            server.run().await.unwrap();
        });
    });
    started.recv().unwrap()
}

fn routes_of_the_service(config: &mut web::ServiceConfig) {
    config
        .service(web::resource("/orders/{id}").route(web::get().to(handlers::read_order)))
        .route("/fails", web::get().to(HttpResponse::ServiceUnavailable))
        .route("/metrics", web::get().to(HttpResponse::Ok))
        .route("/livez", web::get().to(HttpResponse::Ok))
        .route("/readyz", web::get().to(HttpResponse::Ok))
        .route("/waits", web::get().to(handlers::waits))
        .route("/libraries", web::get().to(handlers::libraries_speak))
        .route("/keeper", web::get().to(handlers::ask))
        .route("/carried", web::get().to(handlers::carried))
        .route("/nothing", web::get().to(HttpResponse::NoContent));
}

/// A request in a trace of its own, which is how its spans and lines are told from those of other tests.
pub(crate) struct Request {
    pub(crate) trace: String,
    pub(crate) parent: String,
    pub(crate) builder: reqwest::RequestBuilder,
}

impl Request {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (trace, parent) = (format!("{number:032x}"), format!("{:016x}", number << 8));
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let builder = client()
            .request(method, format!("{}{path}", observed().url))
            .header("traceparent", format!("00-{trace}-{parent}-01"));
        Self { trace, parent, builder }
    }

    pub(crate) async fn send(&mut self) -> reqwest::Response {
        self.builder.try_clone().unwrap().send().await.unwrap()
    }

    /// The SERVER span of this request, once it has arrived.
    pub(crate) async fn server_span(&self) -> Span {
        let what = format!("the SERVER span of trace {}", self.trace);
        eventually(&what, async || {
            let mut spans = observed().sink.of_trace(&self.trace);
            spans.retain(|span| span.kind == SERVER);
            assert!(spans.len() <= 1, "more than one SERVER span: {spans:?}");
            spans.pop()
        })
        .await
    }
}

pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// `SpanKind` on the wire.
pub(crate) const SERVER: i32 = 2;

/// `Status.code` on the wire: an error, and not set.
pub(crate) const ERROR: i32 = 2;
pub(crate) const UNSET: i32 = 0;

pub(crate) fn status_code(span: &Span) -> i32 {
    span.status.as_ref().map_or(UNSET, |status| status.code)
}
