//! The shape of a log record for OTLP: the message is the body, fields are attributes by their names in ECS, and
//! trace and span id have places of their own.

use std::fmt;
use std::time::SystemTime;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use prost::Message;
use slog::{Drain, KV, Key, Level, Never, OwnedKVList, Record, Serializer};

use super::{level_name, logger_name};
use crate::pipeline::Intake;

/// Makes a request of a record on the thread that logs it, where the current span is known.
pub(super) struct RecordDrain(pub(super) Intake);

impl Drain for RecordDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if Context::is_current_telemetry_suppressed() {
            return Ok(());
        }
        let mut attributes = Attributes(vec![attribute("log.logger", text(logger_name(record)))]);
        // A value that fails leaves out itself and what comes after it; the line is counted by its own drain.
        let _ = record.kv().serialize(record, &mut attributes);
        let _ = values.serialize(record, &mut attributes);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let mut made = LogRecord {
            time_unix_nano: nanoseconds,
            observed_time_unix_nano: nanoseconds,
            severity_number: severity(record.level()).into(),
            severity_text: level_name(record.level()).to_owned(),
            body: Some(AnyValue { value: Some(Value::StringValue(record.msg().to_string())) }),
            attributes: attributes.0,
            ..LogRecord::default()
        };
        let context = Context::current();
        let span = context.span();
        let ids = span.span_context();
        if ids.is_valid() {
            made.trace_id = ids.trace_id().to_bytes().to_vec();
            made.span_id = ids.span_id().to_bytes().to_vec();
            made.flags = ids.trace_flags().to_u8().into();
        }
        self.0.push(&request(record.level(), made).encode_to_vec());
        Ok(())
    }
}

/// Who logs, encoded, with the environment.
///
/// Loki makes labels of a resource's attributes only. `environment` and `level` are there for that; all else that
/// it indexes without being asked is better left out by its `otlp_config`, see README.md.
pub(super) fn resource(resource: &opentelemetry_sdk::Resource, environment: &str) -> Vec<u8> {
    let mut attributes = ResourceAttributesWithSchema::from(resource).attributes.0;
    attributes.push(attribute("environment", text(environment)));
    Resource { attributes, ..Resource::default() }.encode_to_vec()
}

fn request(level: Level, record: LogRecord) -> ExportLogsServiceRequest {
    let attributes = vec![attribute("level", text(level_name(level)))];
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource = Some(Resource { attributes, ..Resource::default() });
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::Critical => SeverityNumber::Fatal,
        Level::Error => SeverityNumber::Error,
        Level::Warning => SeverityNumber::Warn,
        Level::Info => SeverityNumber::Info,
        Level::Debug => SeverityNumber::Debug,
        Level::Trace => SeverityNumber::Trace,
    }
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn add(&mut self, key: Key, value: Value) -> slog::Result {
        self.0.push(attribute(key, value));
        Ok(())
    }
}

impl Serializer for Attributes {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.add(key, Value::StringValue(value.to_string()))
    }

    fn emit_bool(&mut self, key: Key, value: bool) -> slog::Result {
        self.add(key, Value::BoolValue(value))
    }

    fn emit_i64(&mut self, key: Key, value: i64) -> slog::Result {
        self.add(key, Value::IntValue(value))
    }

    fn emit_i32(&mut self, key: Key, value: i32) -> slog::Result {
        self.emit_i64(key, value.into())
    }

    fn emit_u32(&mut self, key: Key, value: u32) -> slog::Result {
        self.emit_i64(key, value.into())
    }

    fn emit_u16(&mut self, key: Key, value: u16) -> slog::Result {
        self.emit_i64(key, value.into())
    }

    /// OTLP has no unsigned numbers.
    fn emit_u64(&mut self, key: Key, value: u64) -> slog::Result {
        match i64::try_from(value) {
            Ok(value) => self.emit_i64(key, value),
            Err(_) => self.add(key, Value::StringValue(value.to_string())),
        }
    }

    fn emit_usize(&mut self, key: Key, value: usize) -> slog::Result {
        self.emit_u64(key, value as u64)
    }

    fn emit_f64(&mut self, key: Key, value: f64) -> slog::Result {
        self.add(key, Value::DoubleValue(value))
    }

    fn emit_f32(&mut self, key: Key, value: f32) -> slog::Result {
        self.emit_f64(key, value.into())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        self.add(key, text(value))
    }

    /// What is not there needs no attribute.
    fn emit_none(&mut self, _: Key) -> slog::Result {
        Ok(())
    }

    fn emit_unit(&mut self, _: Key) -> slog::Result {
        Ok(())
    }
}

fn text(value: &str) -> Value {
    Value::StringValue(value.to_owned())
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
