//! A span under way: its attributes are encoded as they come, and all of it is a message of OTLP when it has ended.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::Value;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceState};
use opentelemetry_proto::tonic::trace::v1::{SpanFlags, span, status::StatusCode};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Record};

use crate::otlp::Message;
use crate::{clock, text};

/// As many attributes, and as many links, does a span take: the default of the OpenTelemetry SDK specification.
const MOST: u32 = 128;
/// Bytes for attributes that most spans get along with.
const ROOM: usize = 512;
/// Bytes for what is said of a span later, which is mostly one attribute.
const ROOM_FOR_MORE: usize = 64;

/// `Span` of opentelemetry/proto/trace/v1/trace.proto.
mod tag {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const PARENT_SPAN_ID: u32 = 4;
    pub(super) const NAME: u32 = 5;
    pub(super) const KIND: u32 = 6;
    pub(super) const START: u32 = 7;
    pub(super) const END: u32 = 8;
    pub(super) const ATTRIBUTES: u32 = 9;
    pub(super) const DROPPED_ATTRIBUTES: u32 = 10;
    pub(super) const LINKS: u32 = 13;
    pub(super) const DROPPED_LINKS: u32 = 14;
    pub(super) const STATUS: u32 = 15;
    pub(super) const FLAGS: u32 = 16;
}

/// `Span.Link`.
mod link {
    pub(super) const TRACE_ID: u32 = 1;
    pub(super) const SPAN_ID: u32 = 2;
    pub(super) const TRACE_STATE: u32 = 3;
    pub(super) const FLAGS: u32 = 6;
}

/// `Status`.
mod status {
    pub(super) const MESSAGE: u32 = 2;
    pub(super) const CODE: u32 = 3;
}

/// What is known of a span.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) carried: Carried,
    /// Invalid for the root of a trace.
    pub(super) parent: SpanContext,
    /// Since the Unix epoch.
    pub(super) start: Duration,
    pub(super) notes: Notes,
    links: Repeated,
}

/// What goes on from a span to its children, here and in other processes.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) ids: SpanContext,
    /// What came along with the trace, as it came; none is the common case.
    pub(crate) baggage: Option<Arc<str>>,
}

/// What those who open a span, and those who work in it, say of it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) name: Option<Cow<'static, str>>,
    pub(super) kind: Option<SpanKind>,
    pub(super) status: Option<StatusCode>,
    /// Of an error.
    pub(super) description: Option<String>,
    attributes: Repeated,
}

/// A repeated field of bounded length, encoded.
#[derive(Debug, Default)]
struct Repeated {
    fields: Message,
    taken: u32,
    dropped: u32,
}

impl Recording {
    pub(super) fn new(carried: Carried, parent: SpanContext, notes: Notes) -> Self {
        Self { carried, parent, start: clock::now(), notes, links: Repeated::default() }
    }

    pub(crate) fn set_attribute(&mut self, key: &str, value: &Value) {
        self.notes.attributes.add(|to| to.attribute(tag::ATTRIBUTES, key, |to| to.value(value)));
    }

    pub(crate) fn add_link(&mut self, to: &SpanContext) {
        self.links.add(|message| {
            message.message(tag::LINKS, |link| {
                link.bytes(link::TRACE_ID, &to.trace_id().to_bytes());
                link.bytes(link::SPAN_ID, &to.span_id().to_bytes());
                write_state(link, link::TRACE_STATE, to);
                link.fixed32(link::FLAGS, flags(to, to.is_remote()));
            });
        });
    }

    /// Says more of it than was known.
    pub(super) fn note(&mut self, more: Notes) {
        let Notes { name, kind, status, description, attributes } = more;
        let notes = &mut self.notes;
        notes.name = name.or(notes.name.take());
        notes.kind = kind.or(notes.kind.take());
        notes.status = status.or(notes.status);
        notes.description = description.or(notes.description.take());
        notes.attributes.append(&attributes);
    }

    /// Writes it as a `Span` that ends at this time since the Unix epoch.
    pub(crate) fn write(&self, to: &mut Message, end: Duration) {
        let ids = &self.carried.ids;
        to.bytes(tag::TRACE_ID, &ids.trace_id().to_bytes());
        to.bytes(tag::SPAN_ID, &ids.span_id().to_bytes());
        write_state(to, tag::TRACE_STATE, ids);
        if self.parent.span_id() != SpanId::INVALID {
            to.bytes(tag::PARENT_SPAN_ID, &self.parent.span_id().to_bytes());
        }
        let Notes { name, kind, status, description, attributes } = &self.notes;
        if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
            to.bytes(tag::NAME, name.as_bytes());
        }
        to.uint(tag::KIND, span::SpanKind::from(kind.clone().unwrap_or(SpanKind::Internal)) as u64);
        to.time(tag::START, self.start);
        to.time(tag::END, end);
        attributes.write(to, tag::DROPPED_ATTRIBUTES);
        self.links.write(to, tag::DROPPED_LINKS);
        let description =
            description.as_deref().filter(|text| !text.is_empty() && *status != Some(StatusCode::Ok));
        to.message(tag::STATUS, |to| {
            if let Some(description) = description {
                to.bytes(status::MESSAGE, description.as_bytes());
            }
            if let Some(code) = status.or(description.map(|_| StatusCode::Error)) {
                to.uint(status::CODE, code as u64);
            }
        });
        to.fixed32(tag::FLAGS, flags(ids, self.parent.is_remote()));
    }
}

impl Notes {
    /// What is known when a span begins.
    pub(super) fn first(values: &Attributes<'_>) -> Self {
        let mut notes = Self::named(values.metadata().name());
        values.record(&mut notes);
        notes
    }

    /// Nothing is known yet but the name.
    pub(super) fn named(name: &'static str) -> Self {
        Self { name: Some(name.into()), attributes: Repeated::with_room(ROOM), ..Self::default() }
    }

    /// What is said of a span later.
    pub(super) fn more(values: &Record<'_>) -> Self {
        let mut notes = Self { attributes: Repeated::with_room(ROOM_FOR_MORE), ..Self::default() };
        values.record(&mut notes);
        notes
    }

    fn text(&mut self, field: &Field, value: &str) {
        match field.name() {
            "otel.name" => self.name = Some(value.to_owned().into()),
            "otel.kind" => self.kind = kind(value),
            "otel.status_code" => self.status = status_code(value),
            "otel.status_description" => self.description = Some(value.to_owned()),
            key => self.attributes.add(|to| to.text_attribute(tag::ATTRIBUTES, key, value)),
        }
    }

    fn add(&mut self, field: &Field, write: impl FnOnce(&mut Message)) {
        self.attributes.add(|to| to.attribute(tag::ATTRIBUTES, field.name(), write));
    }
}

/// Fields that begin with `otel.` say what the span is; all others are attributes.
impl Visit for Notes {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, |to| to.double(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, |to| to.int(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, |to| to.unsigned(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, |to| to.bool(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name().starts_with("otel.") {
            text::with(format_args!("{value:?}"), |text| self.text(field, text));
        } else {
            self.add(field, |to| to.display(format_args!("{value:?}")));
        }
    }
}

impl Repeated {
    fn with_room(bytes: usize) -> Self {
        Self { fields: Message::after(Vec::with_capacity(bytes)), ..Self::default() }
    }

    fn add(&mut self, write: impl FnOnce(&mut Message)) {
        if self.taken < MOST {
            self.taken += 1;
            write(&mut self.fields);
        } else {
            self.dropped += 1;
        }
    }

    /// Takes all of the other one, or nothing of it.
    fn append(&mut self, other: &Self) {
        self.dropped += other.dropped;
        if self.taken + other.taken <= MOST {
            self.taken += other.taken;
            self.fields.fields(other.fields.as_bytes());
        } else {
            self.dropped += other.taken;
        }
    }

    fn write(&self, to: &mut Message, dropped: u32) {
        to.fields(self.fields.as_bytes());
        if self.dropped > 0 {
            to.uint(dropped, self.dropped.into());
        }
    }
}

fn write_state(to: &mut Message, field: u32, ids: &SpanContext) {
    if let Some(state) = tracestate(ids) {
        to.bytes(field, state.as_bytes());
    }
}

/// The `tracestate` of W3C Trace Context that a span has, if any.
pub(crate) fn tracestate(ids: &SpanContext) -> Option<String> {
    // To ask for the header of a state that is empty would allocate it.
    (*ids.trace_state() != TraceState::NONE).then(|| ids.trace_state().header())
}

fn flags(ids: &SpanContext, parent_is_remote: bool) -> u32 {
    let remote = if parent_is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    u32::from(ids.trace_flags().to_u8()) | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

fn kind(name: &str) -> Option<SpanKind> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match () {
        () if is("server") => Some(SpanKind::Server),
        () if is("client") => Some(SpanKind::Client),
        () if is("producer") => Some(SpanKind::Producer),
        () if is("consumer") => Some(SpanKind::Consumer),
        () if is("internal") => Some(SpanKind::Internal),
        () => None,
    }
}

fn status_code(code: &str) -> Option<StatusCode> {
    let is = |other: &str| code.eq_ignore_ascii_case(other);
    match () {
        () if is("error") => Some(StatusCode::Error),
        () if is("ok") => Some(StatusCode::Ok),
        () => None,
    }
}
