//! What one signal costs whoever gives it: `cargo bench -p telemetry --all-features`.
//!
//! The receiver is away and the queue of spans is full for most of the time: the worst that a service can be in.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark may stop, and criterion's macros have no docs"
)]

use std::hint::black_box;
use std::time::Duration;

use clap::Parser;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opentelemetry_proto::tonic::trace::v1::Span;
use telemetry::metrics::{Durations, Format, Label};
use telemetry::testing::{Capture, request_of};
use telemetry::{Observability, Service, Settings, slog, tracing};

const SERVICE: Service = Service { name: "bench", version: "0.0.0" };

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    telemetry: Settings,
}

fn span() -> tracing::Span {
    tracing::info_span!(
        "http.server",
        otel.name = "POST /create-order",
        otel.kind = "server",
        http.request.method = "POST",
        http.route = "/create-order",
        http.response.status_code = 201,
        url.path = "/create-order",
        server.address = "127.0.0.1",
        server.port = 3000,
    )
}

/// As many as leave in one request.
fn spans() -> Vec<Span> {
    let seen = Capture::start();
    (0..512).for_each(|_| drop(span().entered()));
    seen.spans()
}

fn signals(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let place = format!("--log-dir={}", directory.path().display());
    let away = "--otel-exporter-otlp-endpoint=http://127.0.0.1:9";
    let spool = format!("--telemetry-spool-dir={}", directory.path().join("spool").display());
    let quiet = ["bench", "--log-stdout=false", "--log-level=info", &place, &spool, away];
    let settings = Command::parse_from(quiet);
    let observability = Observability::new(SERVICE, &settings.telemetry).unwrap();
    let (log, registry) = (observability.log(), observability.registry());
    let labels =
        [Label::closed("method", &["GET", "POST"]), Label::open("route", 200), Label::open("status", 64)];
    let durations = Durations::register(registry, ("work_duration_seconds", "Time."), labels).unwrap();
    let series = ["POST", "/create-order", "201"];

    criterion.bench_function("one span of eight attributes", |bench| {
        bench.iter(|| drop(span().entered()));
    });
    span().in_scope(|| {
        criterion.bench_function("one log line within a span", |bench| {
            bench.iter(|| slog::info!(log, "request answered"; "http.response.status_code" => 201, "url.path" => "/"));
        });
        criterion.bench_function("one duration with its exemplar", |bench| {
            bench.iter(|| durations.observe(black_box(series), Duration::from_millis(81)));
        });
    });
    criterion.bench_function("one duration outside of a trace", |bench| {
        bench.iter(|| durations.observe(black_box(series), Duration::from_millis(81)));
    });
    criterion.bench_function("one page of OpenMetrics", |bench| {
        bench.iter(|| registry.encode(Format::OpenMetrics).unwrap());
    });

    let spans = spans();
    let request = request_of(&spans);
    let mut group = criterion.benchmark_group("one batch");
    group.throughput(Throughput::Elements(spans.len() as u64));
    group.bench_function("made into a request", |bench| bench.iter(&request));
    group.finish();
}

criterion_group!(benches, signals);
criterion_main!(benches);
