//! Where `tracing` ends: spans become those of OpenTelemetry, and events log lines, which know their span.
//!
//! What `tracing-opentelemetry`, the tracer of the SDK and the registry of `tracing-subscriber` do here costs some
//! thirty allocations a span, and changes of the current context at each poll of a future. This keeps one buffer for a
//! span, and has next to nothing to do when it is entered.

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_core::span::Current;

use super::recording::Notes;
use super::spans;
use super::tracer::Tracer;
use super::wanted::Wanted;
use crate::log::Bridge;

/// The subscriber of a process.
pub(crate) struct TelemetrySubscriber {
    /// Without one no span is recorded.
    pub(crate) tracer: Option<Tracer>,
    /// Without one no event is logged.
    pub(crate) bridge: Option<Bridge>,
    pub(crate) wanted: Wanted,
}

impl Subscriber for TelemetrySubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wanted.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.wanted.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.wanted.most())
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let recording = self.tracer.as_ref().and_then(|tracer| tracer.begin(attributes));
        recording.map_or_else(spans::unrecorded, |recording| spans::open(recording, attributes.metadata()))
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        // Before anything is locked: a value may log while it is formatted, and a line asks for the current span.
        let notes = Notes::more(values);
        spans::with(id, |recording| recording.note(notes));
    }

    fn record_follows_from(&self, id: &Id, follows: &Id) {
        if let Some(other) = spans::with(follows, |recording| recording.carried.ids.clone()) {
            spans::with(id, |recording| recording.add_link(&other));
        }
    }

    fn event(&self, event: &Event<'_>) {
        let Some(bridge) = &self.bridge else { return };
        if event.is_contextual() {
            bridge.log(event);
        } else {
            let named = event.parent().cloned().unwrap_or_else(spans::unrecorded);
            spans::within(&named, || bridge.log(event));
        }
    }

    fn enter(&self, id: &Id) {
        spans::enter(id);
    }

    fn exit(&self, id: &Id) {
        spans::exit(id);
    }

    fn clone_span(&self, id: &Id) -> Id {
        spans::share(id);
        id.clone()
    }

    /// A span ends when nobody is left who could enter it, even if it has children that go on.
    fn try_close(&self, id: Id) -> bool {
        let Some(recording) = spans::release(&id) else { return false };
        if let Some(tracer) = &self.tracer {
            tracer.end(&recording);
        }
        true
    }

    fn current_span(&self) -> Current {
        let current = spans::current().and_then(|id| Some((spans::metadata(&id)?, id)));
        current.map_or_else(Current::none, |(metadata, id)| Current::new(id, metadata))
    }
}
