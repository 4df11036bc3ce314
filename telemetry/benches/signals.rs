//! What one signal costs the thread that makes it, and the same with the plain SDK, as the table in README.md:
//! `cargo bench -p telemetry --all-features`.
//!
//! The receiver is away, so that every span goes to the spool. It is the time of the thread on a processor that is measured,
//! so that a busy machine changes little.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark prints, and may stop")]

use std::hint::black_box;
use std::time::Duration;

use clap::Parser;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{SdkMeterProvider, Temporality};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use rustix::time::{ClockId, clock_gettime};
use telemetry::metrics::{Durations, Format, Label};
use telemetry::{Observability, Service, Settings, slog, tracing};
use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt};

const SERVICE: Service = Service { name: "bench", version: "0.0.0" };
/// An odd number has a median.
const BATCHES: usize = 201;
const BATCH: u32 = 1000;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    telemetry: Settings,
}

/// Microseconds of a span, of a line within a span, and of a duration within a span.
struct Costs([f64; 3]);

/// The median time of `work` in microseconds of this thread on a processor: other threads and programs do not count.
fn median(mut work: impl FnMut()) -> f64 {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let mut batch = || {
        let begun = now();
        (0..BATCH).for_each(|_| work());
        (now() - begun).as_secs_f64() * 1e6 / f64::from(BATCH)
    };
    let mut batches: Vec<_> = (0..BATCHES).map(|_| batch()).collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
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
fn plain() -> Costs {
    let provider = SdkTracerProvider::builder().with_batch_exporter(Discard).build();
    let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    let lines = fmt::layer().with_writer(std::io::sink);
    let registry = Registry::default().with(spans.with_filter(LevelFilter::INFO));
    let subscriber = Dispatch::new(registry.with(lines.with_filter(LevelFilter::INFO)));
    let meters = SdkMeterProvider::builder().with_periodic_exporter(Discard).build();
    let durations = meters.meter("bench").f64_histogram("work").build();
    let labels = ["method", "route", "status"].map(|label| KeyValue::new(label, "value"));
    tracing::dispatcher::with_default(&subscriber, || {
        let a_span = median(|| drop(span().entered()));
        span().in_scope(|| {
            let a_line = median(|| {
                tracing::info!(http.response.status_code = 201, url.path = "/", "request answered")
            });
            Costs([a_span, a_line, median(|| durations.record(black_box(0.081), &labels))])
        })
    })
}

/// The same with this crate, and the time of a page of OpenMetrics.
fn ours() -> (Costs, f64) {
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
    let a_span = median(|| drop(span().entered()));
    let costs = span().in_scope(|| {
        let a_line = median(|| {
            slog::info!(log, "request answered"; "http.response.status_code" => 201, "url.path" => "/");
        });
        Costs([a_span, a_line, median(|| durations.observe(black_box(series), Duration::from_millis(81)))])
    });
    (costs, median(|| drop(registry.encode(Format::OpenMetrics).unwrap())))
}

fn main() {
    // Cargo's `--bench` is the only argument.
    let (Costs(plain), (Costs(ours), page)) = (plain(), ours());
    let rows = ["a span of eight attributes", "a log line within a span", "a duration within a span"];
    println!("| µs | this crate | plain SDK |\n|---|---|---|");
    for ((row, ours), plain) in rows.iter().zip(ours).zip(plain) {
        println!("| {row} | {ours:.2} | {plain:.2} |");
    }
    println!("\nA page of OpenMetrics takes {page:.0} µs.");
}
