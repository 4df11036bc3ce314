//! Events of libraries that use `tracing` or `log`, written by the same logger and in the same shape.

use std::fmt;
use std::sync::OnceLock;

use opentelemetry::{Context as OtelContext, ContextGuard};
use slog::{BorrowedKV, KV, Logger, Record, RecordLocation, RecordStatic, Serializer};
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::{Dispatch, Event, Subscriber};
use tracing_log::NormalizeEvent;
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::entry::{slog_level, text};
use super::levels::Levels;

/// The layer that hands every event to a logger.
pub(crate) struct Bridge {
    log: Logger,
    levels: Levels,
    subscriber: OnceLock<WeakDispatch>,
}

/// Fields of the logger itself, which a library cannot set.
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

static NO_LOCATION: RecordLocation =
    RecordLocation { file: "", line: 0, column: 0, function: "", module: "" };

impl Bridge {
    pub(crate) fn new(log: Logger, levels: Levels) -> Self {
        Self { log, levels, subscriber: OnceLock::new() }
    }

    /// The layer, with a filter of its own: spans and the other layers have nothing to do with log levels.
    pub(crate) fn into_layer<S>(self) -> impl Layer<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let levels = self.levels.clone();
        self.with_filter(levels)
    }

    /// Makes the span current that an event names as its parent; `parent: None` names none.
    fn enter_parent(&self, event: &Event<'_>) -> Option<ContextGuard> {
        if event.is_contextual() {
            return None;
        }
        let context = event.parent().and_then(|parent| {
            let subscriber = self.subscriber.get()?.upgrade()?;
            get_otel_context(parent, &subscriber)
        });
        Some(context.unwrap_or_else(OtelContext::new).attach())
    }
}

impl<S: Subscriber> Layer<S> for Bridge {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        // The dispatcher can't be asked while it is at work.
        let _ = self.subscriber.set(subscriber.downgrade());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let _parent = self.enter_parent(event);
        let normalized = event.normalized_metadata();
        let metadata = normalized.as_ref().unwrap_or_else(|| event.metadata());
        let mut fields = Fields::default();
        event.record(&mut fields);
        let record = RecordStatic {
            location: &NO_LOCATION,
            tag: metadata.target(),
            level: slog_level(*metadata.level()),
        };
        self.log.log(&Record::new(&record, &format_args!("{}", fields.message), BorrowedKV(&fields)));
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
        } else if !is_reserved(name) && !is_log_location(name) {
            self.others.push((name, value));
        }
    }
}

/// True for a field that the logger itself writes.
pub(super) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// tracing-log repeats the location of a `log` record in fields of the event.
fn is_log_location(name: &str) -> bool {
    matches!(name, "log.target" | "log.module_path" | "log.file" | "log.line")
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, text(format_args!("{value:?}")).into_owned());
    }
}

impl KV for Fields {
    fn serialize(&self, _: &Record<'_>, to: &mut dyn Serializer) -> slog::Result {
        self.others.iter().try_for_each(|(name, value)| to.emit_str(name, value))
    }
}
