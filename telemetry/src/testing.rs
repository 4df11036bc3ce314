//! The telemetry of a service under test (feature `testing`): ended spans, log lines, metrics.
//!
//! ```
//! use telemetry::metrics::counter;
//! use telemetry::slog;
//! use telemetry::testing::{Capture, hex};
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
//! assert_eq!(lines[0]["trace.id"], hex(&spans[0].trace_id));
//! assert_eq!(seen.metric("parcels_total"), 1.0);
//! ```

#![expect(clippy::expect_used, reason = "tests only")]

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SpanData, SpanProcessor};
use slog::Logger;
use tempfile::TempDir;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::Targets;

use crate::log::{self, Bridge, LogQueue, Logs};
use crate::metrics::{Format, Registry};
use crate::pipeline::{Record, decode};
use crate::resource::resource;
use crate::trace::{self, OpenSpans, Tracing};
use crate::{Service, Settings};

pub use opentelemetry_proto::tonic::trace::v1::Span;

const SERVICE: Service = Service { name: "test", version: "0.0.0" };

/// Telemetry that stays within a test: nothing is sent, and nothing is installed for the process.
///
/// It sees the thread that made it, for as long as it lives: all of an `#[actix_web::test]`, its actors included, but no
/// arbiter or runtime beside it. The logger works on every thread. A thread has one at a time.
pub struct Capture {
    spans: Ended,
    lines: LogQueue,
    log: Logger,
    registry: Registry,
    directory: TempDir,
    _subscriber: DefaultGuard,
}

/// Spans that have ended.
#[derive(Clone, Debug, Default)]
struct Ended(Arc<Mutex<Vec<Span>>>);

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut opentelemetry_sdk::trace::Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().expect("no thread panics with it").push(span.into());
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: std::time::Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Capture {
    /// Begins to capture spans and log lines from `INFO` up.
    ///
    /// # Panics
    /// When there can be no temporary file.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut settings = Settings::from_env().expect("the settings of this crate in the environment");
        settings.otel = crate::Variables::default();
        settings.log_dir = directory.path().to_owned();
        settings.log_stdout = false;
        settings.log_level = Targets::new().with_default(tracing::Level::INFO);
        let otel = settings.otel();
        let registry = Registry::new();
        // The pipelines' own metrics are none of the service under test.
        let own = Registry::new();
        let Logs { logger: log, levels, lines } =
            log::root(SERVICE, &settings, &otel, &resource(SERVICE, &settings, &otel), &own, None)
                .expect("a log file");
        let spans = Ended::default();
        let provider = trace::provider(Sampler::AlwaysOn, Resource::builder_empty().build(), spans.clone());
        let bridge = Bridge::new(log.clone(), levels);
        let subscriber = trace::subscriber(
            SERVICE.name,
            &Tracing::Recorded(provider),
            OpenSpans::default(),
            bridge,
            tracing_subscriber::Registry::default(),
        );
        let subscriber = tracing::dispatcher::set_default(&subscriber);
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
    pub fn spans(&self) -> Vec<Span> {
        self.spans.0.lock().expect("no thread panics with it").clone()
    }

    /// The lines that were logged so far, as a log reader would see them.
    ///
    /// # Panics
    /// When a line is not JSON.
    pub fn lines(&self) -> Vec<serde_json::Value> {
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

/// An attribute of a span as text; `None` for one that has several values.
pub fn attribute(span: &Span, name: &str) -> Option<String> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(value) => Some(value.to_string()),
        Value::IntValue(value) => Some(value.to_string()),
        Value::DoubleValue(value) => Some(value.to_string()),
        _ => None,
    }
}

/// The id of a trace or of a span, in the digits in which log lines have it.
pub fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_a_library_belongs_to_the_current_span() {
        let seen = Capture::start();
        tracing::info_span!("ship").in_scope(|| tracing::warn!("late"));
        let (spans, lines) = (seen.spans(), seen.lines());
        assert_eq!(lines[0]["message"], "late");
        assert_eq!(lines[0]["trace.id"], hex(&spans[0].trace_id));
        assert_eq!(lines[0]["span.id"], hex(&spans[0].span_id));
    }

    #[test]
    fn an_event_belongs_to_the_span_that_it_names() {
        let seen = Capture::start();
        let named = tracing::info_span!("named");
        tracing::info_span!("current").in_scope(|| {
            tracing::warn!(parent: &named, "of the named one");
            tracing::warn!(parent: None, "of none");
            tracing::warn!("of the current one");
        });
        drop(named);
        let (spans, lines) = (seen.spans(), seen.lines());
        let [current, named] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(lines[0]["span.id"], hex(&named.span_id));
        assert_eq!(lines[1].get("span.id"), None);
        assert_eq!(lines[2]["span.id"], hex(&current.span_id));
    }
}
