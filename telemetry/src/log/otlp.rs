//! Log records for OTLP: the message is the body, fields are attributes by their names in ECS, and trace and span id
//! have fields of their own.

use std::fmt;
use std::time::SystemTime;

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLogger, SdkLoggerProvider};
use slog::{KV, Key, Level, Serializer};

use super::entry::{Entry, level_name, logger_name, text};
use crate::pipeline::{Intake, LogItem};

/// Makes records by the SDK's logger, and puts them into a bounded queue; those that it has no room for are counted.
pub(super) struct RecordDrain {
    logger: SdkLogger,
    scope: InstrumentationScope,
    intake: Intake<LogItem>,
}

impl RecordDrain {
    pub(super) fn new(scope: &'static str, intake: Intake<LogItem>) -> Self {
        let logger = SdkLoggerProvider::builder().build().logger(scope);
        Self { logger, scope: InstrumentationScope::builder(scope).build(), intake }
    }

    pub(super) fn log(&self, Entry { message, at, span, record, values }: &Entry<'_>) {
        // The lines of the pipeline itself would make its next request.
        if Context::is_current_telemetry_suppressed() {
            return;
        }
        let at = SystemTime::UNIX_EPOCH + *at;
        let mut log = self.logger.create_log_record();
        log.set_timestamp(at);
        log.set_observed_timestamp(at);
        log.set_severity_number(severity(record.level()));
        log.set_severity_text(level_name(record.level()));
        log.set_body(AnyValue::from((*message).to_owned()));
        if let Some(span) = span {
            log.set_trace_context(span.trace_id(), span.span_id(), Some(span.trace_flags()));
        }
        let mut attributes = Attributes(&mut log);
        attributes.0.add_attribute("log.logger", logger_name(record).to_owned());
        // A value that fails leaves out itself and the values after it; the line is counted by its own drain.
        let _ = record.kv().serialize(record, &mut attributes);
        let _ = values.serialize(record, &mut attributes);
        // Not by a processor of the SDK: it lends its record, and the copy that a queue needs costs as much as the record.
        self.intake.push((log, self.scope.clone()));
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::Critical => Severity::Fatal,
        Level::Error => Severity::Error,
        Level::Warning => Severity::Warn,
        Level::Info => Severity::Info,
        Level::Debug => Severity::Debug,
        Level::Trace => Severity::Trace,
    }
}

/// Writes fields as attributes of a record.
struct Attributes<'a>(&'a mut SdkLogRecord);

impl Attributes<'_> {
    fn set(&mut self, key: Key, value: impl Into<AnyValue>) -> slog::Result {
        self.0.add_attribute(key, value);
        Ok(())
    }

    /// OTLP has 64 bits with a sign: a number that does not fit is text.
    fn integer<T: fmt::Display + Copy>(&mut self, key: Key, value: T) -> slog::Result
    where
        i64: TryFrom<T>,
    {
        match i64::try_from(value) {
            Ok(value) => self.set(key, value),
            Err(_) => self.set(key, value.to_string()),
        }
    }
}

/// The methods for integers of each width.
macro_rules! integers {
    ($($emit:ident($kind:ty)),* $(,)?) => {
        $(fn $emit(&mut self, key: Key, value: $kind) -> slog::Result {
            self.integer(key, value)
        })*
    };
}

impl Serializer for Attributes<'_> {
    integers! {
        emit_u8(u8), emit_u16(u16), emit_u32(u32), emit_u64(u64), emit_u128(u128), emit_usize(usize),
        emit_i8(i8), emit_i16(i16), emit_i32(i32), emit_i64(i64), emit_i128(i128), emit_isize(isize),
    }

    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.set(key, text(*value).into_owned())
    }

    fn emit_bool(&mut self, key: Key, value: bool) -> slog::Result {
        self.set(key, value)
    }

    fn emit_f64(&mut self, key: Key, value: f64) -> slog::Result {
        self.set(key, value)
    }

    fn emit_f32(&mut self, key: Key, value: f32) -> slog::Result {
        self.set(key, f64::from(value))
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        self.set(key, value.to_owned())
    }

    fn emit_none(&mut self, _: Key) -> slog::Result {
        Ok(())
    }

    fn emit_unit(&mut self, _: Key) -> slog::Result {
        Ok(())
    }
}
