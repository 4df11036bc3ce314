//! A log entry as every destination gets it, and the names of levels and loggers.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::Duration;

use opentelemetry::trace::SpanContext;
use slog::{Level, OwnedKVList, Record};

/// A record, with its message formatted, its time and its span.
pub(super) struct Entry<'a> {
    pub(super) message: &'a str,
    /// Since the Unix epoch.
    pub(super) at: Duration,
    pub(super) span: Option<SpanContext>,
    pub(super) record: &'a Record<'a>,
    /// The fields of the logger.
    pub(super) values: &'a OwnedKVList,
}

/// Formats a value; keeps what was written before an error.
pub(super) fn text(value: fmt::Arguments<'_>) -> Cow<'static, str> {
    match value.as_str() {
        Some(text) => text.into(),
        None => {
            let mut text = String::new();
            let _ = text.write_fmt(value);
            text.into()
        }
    }
}

/// The name of the logger: the target of a bridged event, else the module.
pub(super) fn logger_name<'a>(record: &'a Record<'_>) -> &'a str {
    if record.tag().is_empty() { record.module() } else { record.tag() }
}

pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

pub(super) fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Critical | Level::Error => tracing::Level::ERROR,
        Level::Warning => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    }
}

pub(super) fn slog_level(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}
