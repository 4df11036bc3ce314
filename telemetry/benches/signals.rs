//! What one signal costs the thread that makes it, and the same with the plain SDK:
//! `cargo bench -p telemetry --all-features`.
//!
//! The receiver is away, so that every span goes to the spool.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark may stop, and criterion's macros have no docs"
)]

use std::hint::black_box;
use std::time::Duration;

use clap::Parser;
use criterion::{Criterion, criterion_group, criterion_main};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use telemetry::metrics::{Durations, Format, Label};
use telemetry::{Observability, Service, Settings, slog, tracing};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt};

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

/// Sends nothing.
#[derive(Debug)]
struct Discard;

impl SpanExporter for Discard {
    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

impl PushMetricExporter for Discard {
    async fn export(&self, _: &ResourceMetrics) -> OTelSdkResult {
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

/// The wiring of the SDK's documentation: its batch processor, and lines as text.
fn plain() -> (Dispatch, SdkTracerProvider) {
    let provider = SdkTracerProvider::builder().with_batch_exporter(Discard).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    let lines = fmt::layer().with_writer(std::io::sink);
    let registry = Registry::default().with(spans.with_filter(LevelFilter::INFO));
    (Dispatch::new(registry.with(lines.with_filter(LevelFilter::INFO))), provider)
}

fn with_the_plain_sdk(criterion: &mut Criterion) {
    let (subscriber, _provider) = plain();
    tracing::dispatcher::with_default(&subscriber, || {
        criterion.bench_function("plain SDK: one span of eight attributes", |bench| {
            bench.iter(|| drop(span().entered()));
        });
        span().in_scope(|| {
            criterion.bench_function("plain SDK: one log line within a span", |bench| {
                bench.iter(|| {
                    tracing::info!(http.response.status_code = 201, url.path = "/", "request answered")
                });
            });
        });
    });
    let meters = SdkMeterProvider::builder().with_periodic_exporter(Discard).build();
    let durations = meters.meter("bench").f64_histogram("work").build();
    let labels = ["method", "route", "status"].map(|label| KeyValue::new(label, "value"));
    criterion.bench_function("plain SDK: one duration", |bench| {
        bench.iter(|| durations.record(black_box(0.081), &labels));
    });
}

fn with_telemetry(criterion: &mut Criterion) {
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
}

criterion_group!(benches, with_the_plain_sdk, with_telemetry);
criterion_main!(benches);
