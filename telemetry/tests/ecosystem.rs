//! The rest of the ecosystem beside this crate: layers of others, OpenTelemetry's own API, and crates that use its
//! extension of spans.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::sync::{Arc, Mutex, OnceLock};

use opentelemetry::trace::{Span as _, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue, global};
use opentelemetry_proto::tonic::trace::v1::Span;
use support::lines::saying;
use support::{Bench, SERVICE, endpoint};
use telemetry::Observability;
use telemetry::propagation::{TraceContext, annotate, current_trace_id};
use testkit::otlp::{OtlpSink, attribute, hex};
use tracing::{Event, Subscriber, info_span, span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::layer;
use tracing_subscriber::registry::LookupSpan;

/// The names of spans and the targets of events, as a layer of another crate sees them.
#[derive(Clone, Default)]
struct Foreign(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Foreign {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: layer::Context<'_, S>) {
        self.0.lock().unwrap().push(attributes.metadata().name().to_owned());
    }

    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        self.0.lock().unwrap().push(event.metadata().target().to_owned());
    }
}

struct Shared {
    bench: Bench,
    sink: OtlpSink,
    foreign: Foreign,
}

fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| {
        let (sink, foreign) = (OtlpSink::start(), Foreign::default());
        let layer = foreign.clone();
        let bench = Bench::start_by(&[&endpoint(&sink)], |settings| {
            Observability::builder(SERVICE).layer(layer).build(settings)
        });
        Shared { bench, sink, foreign }
    })
}

async fn spans(name: &str) -> Vec<Span> {
    shared().bench.flush().await;
    shared().sink.named(name)
}

#[actix_rt::test]
async fn a_foreign_layer_sees_spans_and_events() {
    let shared = shared();
    info_span!("seen by both").in_scope(|| {
        tracing::info!(target: "library", "said once");
        tracing::debug!(target: "quiet library", "below the log level");
    });
    assert_eq!(spans("seen by both").await.len(), 1);
    let lines = shared.bench.lines().await;
    assert_eq!(saying(&lines, "said once").len(), 1);
    assert!(saying(&lines, "below the log level").is_empty());
    let seen = shared.foreign.0.lock().unwrap();
    for expected in ["seen by both", "library", "quiet library"] {
        assert_eq!(seen.iter().filter(|name| *name == expected).count(), 1, "{expected}");
    }
}

#[actix_rt::test]
async fn spans_of_both_apis_are_parents_of_each_other() {
    let tracer = {
        let _ = shared();
        global::tracer("another crate")
    };
    info_span!("outer").in_scope(|| {
        assert_eq!(
            Context::current().span().span_context().trace_id().to_string(),
            current_trace_id().unwrap()
        );
        tracer.in_span("middle", |context| {
            context.span().set_attribute(KeyValue::new("by", "the API"));
            info_span!("inner").in_scope(|| annotate("by", "tracing"));
        });
    });
    let [outer, middle, inner] =
        [spans("outer").await, spans("middle").await, spans("inner").await].map(|spans| spans[0].clone());
    assert_eq!((&middle.parent_span_id, &middle.trace_id), (&outer.span_id, &outer.trace_id));
    assert_eq!((&inner.parent_span_id, &inner.trace_id), (&middle.span_id, &outer.trace_id));
    assert_eq!(attribute(&middle.attributes, "by").as_deref(), Some("the API"));
    assert_eq!(attribute(&inner.attributes, "by").as_deref(), Some("tracing"));
}

#[actix_rt::test]
async fn a_line_within_a_span_of_the_api_has_its_ids() {
    let shared = shared();
    let mut span = global::tracer("another crate").start("logged in");
    span.set_attribute(KeyValue::new("key", "value"));
    let context = Context::current_with_span(span);
    let ids = context.span().span_context().clone();
    {
        let _entered = context.attach();
        telemetry::slog::info!(shared.bench.log, "within the API");
    }
    let lines = shared.bench.lines().await;
    let line = saying(&lines, "within the API")[0];
    assert_eq!(line.get("trace.id"), &ids.trace_id().to_string());
    assert_eq!(line.get("span.id"), &ids.span_id().to_string());
}

#[actix_rt::test]
async fn the_extension_of_spans_works_for_other_crates() {
    let _ = shared();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent = TraceContext::read(|name| (name == "traceparent").then(|| parent.to_owned()));
    let span = info_span!("extended");
    span.set_parent(parent.context()).unwrap();
    span.add_link(parent.span_context());
    span.set_attribute("by", "the extension");
    let ids = span.context().span().span_context().clone();
    assert_eq!(ids.span_id(), TraceContext::of(&span).span_context().span_id());
    span.in_scope(|| {
        span.add_event("noted", vec![KeyValue::new("number", 7)]);
    });
    drop(span);
    let found = &spans("extended").await[0];
    assert_eq!(hex(&found.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(hex(&found.parent_span_id), "00f067aa0ba902b7");
    assert_eq!((found.links.len(), found.events.len()), (1, 1));
    assert_eq!(attribute(&found.attributes, "by").as_deref(), Some("the extension"));
}
