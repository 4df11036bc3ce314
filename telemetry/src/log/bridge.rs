//! Events of libraries that use `tracing` or `log`, written by the same logger and in the same shape.

use std::fmt;

use slog::{BorrowedKV, KV, Level, Logger, Record, RecordLocation, RecordStatic, Serializer};
use tracing::Event;
use tracing::field::{Field, Visit};
use tracing_log::NormalizeEvent;

use crate::text;

/// Hands every event to a logger.
pub(crate) struct Bridge(pub(crate) Logger);

/// A library has no business with these: they are the logger's own.
const RESERVED: [&str; 9] = [
    "@timestamp",
    "ecs.version",
    "log.level",
    "log.logger",
    "service.environment",
    "service.name",
    "service.version",
    "span.id",
    "trace.id",
];

static NOWHERE: RecordLocation = RecordLocation { file: "", line: 0, column: 0, function: "", module: "" };

impl Bridge {
    pub(crate) fn log(&self, event: &Event<'_>) {
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let record =
            RecordStatic { location: &NOWHERE, tag: metadata.target(), level: slog_level(*metadata.level()) };
        self.0.log(&Record::new(&record, &format_args!("{}", fields.message), BorrowedKV(&fields)));
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: String) {
        let name = field.name();
        if name == "message" {
            self.message = value;
        } else if !RESERVED.contains(&name) && !is_log_location(name) {
            self.others.push((name, value));
        }
    }
}

/// tracing-log repeats the place of a `log` record in fields of the event.
fn is_log_location(name: &str) -> bool {
    matches!(name, "log.target" | "log.module_path" | "log.file" | "log.line")
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, text::with(format_args!("{value:?}"), str::to_owned));
    }
}

impl KV for Fields {
    fn serialize(&self, _: &Record<'_>, to: &mut dyn Serializer) -> slog::Result {
        self.others.iter().try_for_each(|(name, value)| to.emit_str(name, value))
    }
}

fn slog_level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}
