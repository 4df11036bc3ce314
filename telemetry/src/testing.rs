//! What a test of a service sees of its telemetry (feature `testing`): ended spans, log lines, metrics.
//!
//! ```
//! use telemetry::metrics::counter;
//! use telemetry::slog;
//! use telemetry::testing::Capture;
//!
//! let seen = Capture::start();
//! let parcels = counter(seen.registry(), "parcels_total", "Parcels that were packed.").unwrap();
//! telemetry::tracing::info_span!("pack parcel").in_scope(|| {
//!     parcels.inc();
//!     slog::info!(seen.log(), "packed"; "parcel.size" => 3);
//! });
//!
//! let (spans, lines) = (seen.spans(), seen.lines());
//! assert_eq!(spans[0].name, "pack parcel");
//! assert_eq!((&lines[0]["message"], &lines[0]["parcel.size"]), (&"packed".into(), &3.into()));
//! assert_eq!(lines[0]["trace.id"], spans[0].span_context.trace_id().to_string());
//! assert_eq!(seen.metric("parcels_total"), 1.0);
//! ```

#![expect(clippy::expect_used, reason = "tests only")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanProcessor};
use serde_json::Value;
use slog::Logger;
use tempfile::TempDir;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::{Layer, prelude::*};

use crate::log::{self, BridgeLayer, LogQueue, Logs};
use crate::metrics::{Format, Registry};
use crate::pipeline::{PipelineMetrics, Record, decode};
use crate::{Service, Settings};

pub use opentelemetry_sdk::trace::SpanData;

const SERVICE: Service = Service { name: "test", version: "0.0.0" };

/// Telemetry that stays within a test: nothing is sent, and nothing is installed for the process.
///
/// It sees what happens on the thread that made it, for as long as it lives: all of an `#[actix_web::test]`, its
/// actors included, but no arbiter or runtime beside it. The logger works on every thread.
pub struct Capture {
    spans: Ended,
    lines: LogQueue,
    log: Logger,
    registry: Registry,
    directory: TempDir,
    _subscriber: DefaultGuard,
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    telemetry: Settings,
}

impl Capture {
    /// Begins to capture spans and log lines from `INFO` up.
    ///
    /// # Panics
    /// When there can be no temporary file.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let place = format!("--log-dir={}", directory.path().display());
        let quiet = ["test", "--log-stdout=false", "--log-level=info", "--otel-logs-exporter=none", &place];
        let settings = Command::parse_from(quiet).telemetry;
        let registry = Registry::new();
        // The pipelines' own metrics are none of the service under test.
        let own = Registry::new();
        let metrics = PipelineMetrics::register(&own).expect("a registry of its own");
        let resource = crate::trace::resource(SERVICE, &settings);
        let Logs { logger: log, lines, .. } =
            log::root(SERVICE, &settings, &resource, &own, &metrics).expect("a log file");

        let spans = Ended::default();
        let provider = SdkTracerProvider::builder().with_span_processor(spans.clone()).build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(SERVICE.name))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(LevelFilter::INFO);
        let events = BridgeLayer { logger: log.clone() }.with_filter(LevelFilter::INFO);
        let subscriber = tracing_subscriber::registry().with(layer).with(events);
        let subscriber = tracing::subscriber::set_default(subscriber);
        Self { spans, lines, log, registry, directory, _subscriber: subscriber }
    }

    /// The logger to give to what is tested.
    pub fn log(&self) -> Logger {
        self.log.clone()
    }

    /// The registry to give to what is tested.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The spans that have ended so far, in that order.
    pub fn spans(&self) -> Vec<SpanData> {
        self.spans.0.lock().expect("nobody panics with it").clone()
    }

    /// The lines that were logged so far, as a log reader would see them.
    ///
    /// # Panics
    /// When a line is not JSON.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.flush();
        let file = self.directory.path().join(format!("{}.log", SERVICE.name));
        let text = std::fs::read_to_string(file).expect("the log file");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// The value of a series, such as `emails_sent_total{outcome="sent"}`, labels in alphabetical order.
    ///
    /// # Panics
    /// When there is no such series: it would hide its first increment from a scraper.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.registry.encode(Format::Text).expect("metrics are text");
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or_else(|| panic!("there is no series {series} in\n{page}"))
    }
}

/// An attribute of a span as text.
pub fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key.as_str() == name)?;
    Some(attribute.value.to_string())
}

/// A record of the spool: how many items it has, when it was written, and its payload. For the fuzz tests alone.
#[doc(hidden)]
pub type SpoolRecord<'a> = (u64, u64, &'a [u8]);

/// The bytes of a record as the spool writes them.
///
/// # Panics
/// When the payload is longer than 4 GiB.
#[doc(hidden)]
pub fn write_spool_record((items, written, payload): SpoolRecord<'_>) -> Vec<u8> {
    Record { items, written, payload }.encode().expect("a payload below 4 GiB")
}

/// The records that the spool finds in the bytes of a segment, and how many bytes belong to none.
#[doc(hidden)]
pub fn read_spool_records(segment: &[u8]) -> (Vec<SpoolRecord<'_>>, usize) {
    let (records, lost) = decode(segment);
    let records = records.into_iter().map(|Record { items, written, payload }| (items, written, payload));
    (records.collect(), lost)
}

#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().expect("nobody panics with it").push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
