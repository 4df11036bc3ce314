//! The shape of a log line: JSON by slog-json, names of the Elastic Common Schema.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::trace::SpanContext;
use slog::{BorrowedKV, Drain, FnValue, KV, OwnedKVList, PushFnValue, Record, RecordStatic, Serializer, o};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{LogQueue, level_name, logger_name};
use crate::{Service, Settings};

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "9.4.0";

/// Formats a record on the thread that logs it, where the current span is known, into one queued line.
pub(super) struct EcsDrain {
    formatter: Mutex<Formatter>,
}

struct Formatter {
    json: slog_json::Json<LineBuffer>,
    /// Set before each record: the buffer sees bytes only, and one of them is the first of a line.
    begins: Arc<AtomicBool>,
    queue: LogQueue,
}

impl EcsDrain {
    pub(super) fn new(service: Service, settings: &Settings, queue: LogQueue) -> Self {
        let environment = settings.deployment_environment.clone();
        let begins = Arc::new(AtomicBool::new(true));
        let buffer = LineBuffer { line: Vec::new(), begins: begins.clone(), queue: queue.clone() };
        // Written in the order of these calls; the first three lead every line, as ecs-logging asks.
        let json = slog_json::Json::new(buffer)
            .add_key_value(o!("@timestamp" => FnValue(|_| OffsetDateTime::now_utc().format(&Rfc3339).ok())))
            .add_key_value(o!("log.level" => FnValue(|record| level_name(record.level()))))
            .add_key_value(o!("message" => PushFnValue(|record, to| to.emit(record.msg()))))
            .add_key_value(o!("ecs.version" => ECS_VERSION))
            .add_key_value(o!(
                "service.environment" => environment,
                "service.version" => service.version,
                "service.name" => service.name,
            ))
            .add_key_value(o!("log.logger" => PushFnValue(|record, to| to.emit(logger_name(record)))))
            .set_flush(true)
            .build();
        Self { formatter: Mutex::new(Formatter { json, begins, queue }) }
    }

    /// Queues the line of what is logged within `span`.
    pub(super) fn log(&self, record: &Record<'_>, values: &OwnedKVList, span: Option<&SpanContext>) {
        let (message, fields) = (*record.msg(), Within { span, record });
        let location = RecordStatic { location: record.location(), tag: record.tag(), level: record.level() };
        let formatter = self.formatter.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.begins.store(true, Ordering::Relaxed);
        let record = Record::new(&location, &message, BorrowedKV(&fields));
        if formatter.json.log(&record, values).is_err() {
            // The buffer takes every byte, so it was a value that could not be serialised.
            formatter.queue.give_up();
        }
    }
}

/// Collects one line; slog-json flushes at its end.
struct LineBuffer {
    line: Vec<u8>,
    begins: Arc<AtomicBool>,
    queue: LogQueue,
}

impl Write for LineBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.begins.load(Ordering::Relaxed) {
            self.begins.store(false, Ordering::Relaxed);
            // A value that failed or panicked has left half of its line here.
            self.line.clear();
        }
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.queue.push(&self.line);
        Ok(())
    }
}

/// The fields of a record, and `trace.id` and `span.id` of the span in which it was logged.
struct Within<'a> {
    span: Option<&'a SpanContext>,
    record: &'a Record<'a>,
}

impl KV for Within<'_> {
    fn serialize(&self, record: &Record<'_>, to: &mut dyn Serializer) -> slog::Result {
        if let Some(span) = self.span {
            to.emit_arguments("span.id", &format_args!("{}", span.span_id()))?;
            to.emit_arguments("trace.id", &format_args!("{}", span.trace_id()))?;
        }
        self.record.kv().serialize(record, to)
    }
}
