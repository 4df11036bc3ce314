//! The shape of a log record for OTLP: the message is the body, fields are attributes by their names in ECS, and
//! trace and span id have places of their own.

use std::fmt;

use opentelemetry::Context;
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_sdk::Resource;
use prost::Message as _;
use slog::{KV, Key, Level, Serializer};

use super::{Logged, level_name, logger_name};
use crate::otlp::Message;
use crate::pipeline::{Intake, Template};

/// `LogRecord` of opentelemetry/proto/logs/v1/logs.proto.
mod tag {
    pub(super) const TIME: u32 = 1;
    pub(super) const SEVERITY_NUMBER: u32 = 2;
    pub(super) const SEVERITY_TEXT: u32 = 3;
    pub(super) const BODY: u32 = 5;
    pub(super) const ATTRIBUTES: u32 = 6;
    pub(super) const FLAGS: u32 = 8;
    pub(super) const TRACE_ID: u32 = 9;
    pub(super) const SPAN_ID: u32 = 10;
    pub(super) const OBSERVED_TIME: u32 = 11;
}

/// `Resource` of opentelemetry/proto/resource/v1/resource.proto.
const RESOURCE_ATTRIBUTES: u32 = 1;

const LEVELS: [Level; 6] =
    [Level::Critical, Level::Error, Level::Warning, Level::Info, Level::Debug, Level::Trace];

/// Writes a record on the thread that logs it.
pub(super) struct RecordDrain(pub(super) Intake);

impl RecordDrain {
    pub(super) fn log(&self, Logged { message, at, span, record, values }: &Logged<'_>) {
        if Context::is_current_telemetry_suppressed() {
            return;
        }
        let level = record.level();
        let way = LEVELS.iter().position(|other| *other == level).unwrap_or_default();
        self.0.push(way as u8, |to| {
            to.time(tag::TIME, *at);
            to.uint(tag::SEVERITY_NUMBER, severity(level) as u64);
            to.bytes(tag::SEVERITY_TEXT, level_name(level).as_bytes());
            to.message(tag::BODY, |body| body.string(message));
            let mut attributes = Attributes(to);
            attributes.text("log.logger", logger_name(record));
            // A value that fails leaves out itself and what comes after it; the line is counted by its own drain.
            let _ = record.kv().serialize(record, &mut attributes);
            let _ = values.serialize(record, &mut attributes);
            if let Some(span) = span {
                to.fixed32(tag::FLAGS, span.trace_flags().to_u8().into());
                to.bytes(tag::TRACE_ID, &span.trace_id().to_bytes());
                to.bytes(tag::SPAN_ID, &span.span_id().to_bytes());
            }
            to.time(tag::OBSERVED_TIME, *at);
        });
    }
}

/// Who logs, with the environment, at each of the levels.
///
/// Loki makes labels of a resource's attributes only. `environment` and `level` are there for that; all else that
/// it indexes without being asked is better left out by its `otlp_config`, see README.md.
pub(super) fn template(resource: &Resource, environment: &str) -> Template {
    let attributes = ResourceAttributesWithSchema::from(resource).attributes.0;
    let resource = opentelemetry_proto::tonic::resource::v1::Resource { attributes, ..Default::default() };
    let resource = resource.encode_to_vec();
    Template::of(LEVELS.map(|level| {
        let mut resource = Message::after(resource.clone());
        resource.attribute(RESOURCE_ATTRIBUTES, "environment", |to| to.string(environment));
        resource.attribute(RESOURCE_ATTRIBUTES, "level", |to| to.string(level_name(level)));
        resource.into_bytes()
    }))
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

/// Attributes of the record that is being written.
struct Attributes<'a>(&'a mut Message);

impl Attributes<'_> {
    fn add(&mut self, key: Key, write: impl FnOnce(&mut Message)) -> slog::Result {
        self.0.attribute(tag::ATTRIBUTES, key, write);
        Ok(())
    }

    fn text(&mut self, key: &str, value: &str) {
        self.0.text_attribute(tag::ATTRIBUTES, key, value);
    }
}

impl Serializer for Attributes<'_> {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.add(key, |to| to.display(*value))
    }

    fn emit_bool(&mut self, key: Key, value: bool) -> slog::Result {
        self.add(key, |to| to.bool(value))
    }

    fn emit_i64(&mut self, key: Key, value: i64) -> slog::Result {
        self.add(key, |to| to.int(value))
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

    fn emit_u64(&mut self, key: Key, value: u64) -> slog::Result {
        self.add(key, |to| to.unsigned(value))
    }

    fn emit_usize(&mut self, key: Key, value: usize) -> slog::Result {
        self.emit_u64(key, value as u64)
    }

    fn emit_f64(&mut self, key: Key, value: f64) -> slog::Result {
        self.add(key, |to| to.double(value))
    }

    fn emit_f32(&mut self, key: Key, value: f32) -> slog::Result {
        self.emit_f64(key, value.into())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        self.text(key, value);
        Ok(())
    }

    /// What is not there needs no attribute.
    fn emit_none(&mut self, _: Key) -> slog::Result {
        Ok(())
    }

    fn emit_unit(&mut self, _: Key) -> slog::Result {
        Ok(())
    }
}
