//! The shape of a log line: JSON by slog-json, names of the Elastic Common Schema.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::trace::SpanContext;
use slog::{
    BorrowedKV, Drain, FnValue, KV, OwnedKVList, PushFnValue, PushFnValueSerializer, Record, RecordStatic,
    Serializer, o,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{LogQueue, level_name, logger_name};
use crate::{Service, Settings, hex};

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "9.4.0";
/// Bytes of a moment with nanoseconds.
const LONGEST_TIMESTAMP: usize = "9999-12-31T23:59:59.999999999Z".len();

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
        let begins = Arc::new(AtomicBool::new(true));
        let end = end(service, &settings.deployment_environment);
        let buffer = LineBuffer { line: Vec::new(), end, begins: begins.clone(), queue: queue.clone() };
        // Written in the order of these calls; the first three lead every line, as ecs-logging asks.
        let json = slog_json::Json::new(buffer)
            .add_key_value(o!("@timestamp" => PushFnValue(|_, to| timestamp(to))))
            .add_key_value(o!("log.level" => FnValue(|record| level_name(record.level()))))
            .add_key_value(o!("message" => PushFnValue(|record, to| match record.msg().as_str() {
                Some(text) => to.emit(text),
                None => to.emit(record.msg()),
            })))
            .add_key_value(o!("log.logger" => PushFnValue(|record, to| to.emit(logger_name(record)))))
            .set_newlines(false)
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

/// In UTC, as RFC 3339 has it.
fn timestamp(to: PushFnValueSerializer<'_>) -> slog::Result {
    let mut text = [0; LONGEST_TIMESTAMP];
    let mut room = &mut text[..];
    let _ = OffsetDateTime::now_utc().format_into(&mut room, &Rfc3339);
    // What is answered is no length: it leaves out the fraction.
    let length = LONGEST_TIMESTAMP - room.len();
    to.emit(str::from_utf8(&text[..length]).unwrap_or_default())
}

/// What ends every line: it is the same in all of them.
fn end(service: Service, environment: &str) -> Vec<u8> {
    let fields = serde_json::json!({
        "ecs.version": ECS_VERSION,
        "service.environment": environment,
        "service.name": service.name,
        "service.version": service.version,
    });
    [",", &fields.to_string()[1..], "\n"].concat().into_bytes()
}

/// Collects one line; slog-json flushes at its end.
struct LineBuffer {
    line: Vec<u8>,
    /// Takes the place of the brace that slog-json ends with.
    end: Vec<u8>,
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
        self.line.pop();
        self.line.extend_from_slice(&self.end);
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
            to.emit_str("span.id", hex::write(&span.span_id().to_bytes(), &mut [0; 16]))?;
            to.emit_str("trace.id", hex::write(&span.trace_id().to_bytes(), &mut [0; 32]))?;
        }
        self.record.kv().serialize(record, to)
    }
}
