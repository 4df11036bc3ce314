//! The spans that are open now, so that an operator sees what hangs before it ends.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::TraceContextExt;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Threads that begin and end spans at once rarely share a lock.
const SHARDS: usize = 16;
/// A trace id is asked for at this age: the question starts a span, and a younger one may not have its parent yet.
const SETTLED: Duration = Duration::from_secs(1);

/// A span that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSpan {
    /// Its name.
    pub name: String,
    /// The time since it began.
    pub age: Duration,
    /// The id of its trace; known after a second.
    pub trace_id: Option<String>,
    /// Its attributes whose names end in `.id`, such as `order.id`.
    pub ids: Vec<(&'static str, String)>,
}

/// The layer that knows the open spans; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct OpenSpans(Arc<[Mutex<HashMap<u64, Opened>>; SHARDS]>);

struct Opened {
    begun: Instant,
    name: &'static str,
    /// `otel.name`, in place of the name in the code.
    renamed: Option<String>,
    ids: Vec<(&'static str, String)>,
}

impl OpenSpans {
    /// All open spans, the oldest first.
    pub(crate) fn list(&self) -> Vec<OpenSpan> {
        let mut spans = Vec::new();
        for shard in &*self.0 {
            let describe = |(id, opened): (&u64, &Opened)| (*id, opened.describe());
            spans.extend(lock(shard).iter().map(describe));
        }
        spans.sort_by_key(|(_, span)| std::cmp::Reverse(span.age));
        let with_trace = |(id, mut span): (u64, OpenSpan)| {
            span.trace_id = (span.age >= SETTLED).then(|| trace_id(&Id::from_u64(id))).flatten();
            span
        };
        spans.into_iter().map(with_trace).collect()
    }

    fn shard(&self, id: &Id) -> MutexGuard<'_, HashMap<u64, Opened>> {
        lock(&self.0[id.into_u64() as usize % SHARDS])
    }
}

/// Notes an attribute that the current span was given through OpenTelemetry's API.
pub(crate) fn note(key: &'static str, value: &opentelemetry::Value) {
    if !is_id(key) {
        return;
    }
    Span::current().with_subscriber(|(id, dispatch)| {
        let Some(open) = dispatch.downcast_ref::<OpenSpans>() else { return };
        if let Some(opened) = open.shard(id).get_mut(&id.into_u64()) {
            opened.ids.push((key, value.to_string()));
        }
    });
}

fn lock(shard: &Mutex<HashMap<u64, Opened>>) -> MutexGuard<'_, HashMap<u64, Opened>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_id(key: &str) -> bool {
    key.ends_with(".id")
}

fn trace_id(id: &Id) -> Option<String> {
    let context = tracing::dispatcher::get_default(|dispatch| get_otel_context(id, dispatch))?;
    Some(context.span().span_context().trace_id().to_string())
}

impl<S: Subscriber> Layer<S> for OpenSpans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, _: Context<'_, S>) {
        let name = attributes.metadata().name();
        let mut opened = Opened { begun: Instant::now(), name, renamed: None, ids: Vec::new() };
        attributes.record(&mut opened);
        self.shard(id).insert(id.into_u64(), opened);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(opened) = self.shard(id).get_mut(&id.into_u64()) {
            values.record(opened);
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        self.shard(&id).remove(&id.into_u64());
    }
}

impl Opened {
    fn record(&mut self, name: &'static str, value: impl FnOnce() -> String) {
        if name == "otel.name" {
            self.renamed = Some(value());
        } else if is_id(name) {
            self.ids.push((name, value()));
        }
    }

    fn describe(&self) -> OpenSpan {
        OpenSpan {
            name: self.renamed.clone().unwrap_or_else(|| self.name.to_owned()),
            age: self.begun.elapsed(),
            trace_id: None,
            ids: self.ids.clone(),
        }
    }
}

impl Visit for Opened {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field.name(), || format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field.name(), || value.to_owned());
    }
}
