//! `OTEL_TRACES_EXPORTER=none`: nothing is sent, and everything but the traces works.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::sync::OnceLock;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpResponse, test, web};
use support::lines::saying;
use support::{Bench, SERVICE, endpoint, settings};
use telemetry::http::{Observer, observe, server_spans};
use telemetry::{Error, Observability, slog};
use testkit::otlp::OtlpSink;

fn bench() -> &'static (Bench, OtlpSink) {
    static BENCH: OnceLock<(Bench, OtlpSink)> = OnceLock::new();
    BENCH.get_or_init(|| {
        let sink = OtlpSink::start();
        (Bench::start(&[&endpoint(&sink), "--otel-traces-exporter=none"]), sink)
    })
}

#[actix_rt::test]
async fn a_service_without_traces_answers_logs_and_counts() {
    let (bench, sink) = bench();
    let log = bench.log.clone();
    let handler = move || {
        slog::info!(log, "handled");
        tracing::warn!(target: "library", "spoken");
        std::future::ready(HttpResponse::NoContent())
    };
    let observer = Observer::register(&bench.registry, &bench.log, &[]).unwrap();
    let service = App::new()
        .app_data(web::Data::new(observer))
        .route("/handled", web::get().to(handler))
        .wrap(from_fn(observe))
        .wrap(server_spans());
    let service = test::init_service(service).await;
    let get = |path| {
        let parent = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        test::TestRequest::get().uri(path).insert_header(parent).to_request()
    };
    let answer = test::call_service(&service, get("/handled")).await;
    assert_eq!(answer.status(), 204);
    assert!(!answer.headers().contains_key("traceresponse"));
    assert_eq!(test::call_service(&service, get("/nowhere")).await.status(), 404);
    let series = r#"http_request_duration_seconds_count{method="GET",route="/handled",status="204"} 1"#;
    assert!(bench.gather().await.contains(series));

    let lines = bench.lines().await;
    for message in ["handled", "spoken"] {
        assert_eq!(saying(&lines, message).len(), 1, "{message}");
    }
    assert_eq!(saying(&lines, "request answered").len(), 2);
    for line in &lines {
        assert!(!line.keys().contains(&"trace.id") && !line.keys().contains(&"span.id"), "{line:?}");
    }
    assert!(sink.attempts().is_empty(), "something was sent");
}

#[actix_rt::test]
async fn a_second_observability_in_a_process_is_refused() {
    let (bench, _) = bench();
    let elsewhere = tempfile::tempdir().unwrap();
    let place = format!("--log-dir={}", elsewhere.path().display());
    let second = Observability::new(SERVICE, &settings(&[&place]));
    assert!(matches!(second, Err(Error::AlreadyInstalled)), "two subscribers in one process");
    tracing::warn!("the first still hears");
    assert_eq!(saying(&bench.lines().await, "the first still hears").len(), 1);
}

#[actix_rt::test]
async fn a_log_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let below = file.path().join("logs");
    let refused = Observability::new(SERVICE, &settings(&[&format!("--log-dir={}", below.display())]));
    let Err(error @ Error::LogFile { .. }) = refused else { panic!("opened a directory below a file") };
    assert!(error.to_string().contains(&below.display().to_string()), "{error}");
}
