//! What a span is: when it begins and ends, which of its attributes, events and links leave, and which are open.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry_proto::tonic::trace::v1::Span;
use support::{Bench, endpoint};
use telemetry::GetOpenSpans;
use telemetry::propagation::annotate;
use testkit::otlp::{OtlpSink, attribute};
use tracing::{field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The limit of the specification for attributes, events and links.
const LIMIT: usize = 128;
const PAUSE: Duration = Duration::from_millis(30);

#[expect(clippy::disallowed_methods, reason = "spans of this thread must take their time")]
fn pause(time: Duration) {
    thread::sleep(time);
}

fn shared() -> &'static (Bench, OtlpSink) {
    static SHARED: OnceLock<(Bench, OtlpSink)> = OnceLock::new();
    SHARED.get_or_init(|| {
        let sink = OtlpSink::start();
        (Bench::start(&[&endpoint(&sink)]), sink)
    })
}

async fn arrived(name: &str) -> Vec<Span> {
    let (bench, sink) = shared();
    bench.flush().await;
    sink.named(name)
}

fn nanos(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

#[actix_rt::test]
async fn a_span_ends_at_its_last_exit_and_leaves_with_its_handle() {
    shared();
    let span = info_span!("left", late = Empty);
    let begun = nanos(SystemTime::now());
    span.in_scope(|| pause(PAUSE));
    pause(PAUSE);
    span.in_scope(|| pause(PAUSE));
    let left = nanos(SystemTime::now());
    pause(PAUSE);
    span.record("late", 7);
    assert_eq!(arrived("left").await, [], "a handle may still record");
    drop(span);
    let [found] = &arrived("left").await[..] else { panic!("not sent") };
    assert!(found.start_time_unix_nano <= begun && found.end_time_unix_nano <= left, "{found:?}");
    let took = Duration::from_nanos(found.end_time_unix_nano - found.start_time_unix_nano);
    assert!(took >= 3 * PAUSE, "it ended at its first exit, after {took:?}");
    assert_eq!(attribute(&found.attributes, "late").as_deref(), Some("7"));
}

#[actix_rt::test]
async fn a_span_that_is_never_entered_ends_with_its_handle() {
    shared();
    let span = info_span!("never entered");
    pause(PAUSE);
    let ends = nanos(SystemTime::now());
    drop(span);
    let found = &arrived("never entered").await[0];
    assert!(found.end_time_unix_nano >= ends && found.start_time_unix_nano < ends, "{found:?}");
}

#[actix_rt::test]
async fn a_parent_is_sent_after_its_last_child() {
    shared();
    let parent = info_span!("parent");
    let child = parent.in_scope(|| info_span!("child"));
    drop(parent);
    assert_eq!(arrived("parent").await, [], "a child keeps it open");
    drop(child);
    let (parent, child) = (&arrived("parent").await[0], &arrived("child").await[0]);
    assert_eq!(child.parent_span_id, parent.span_id);
}

#[actix_rt::test]
async fn attributes_events_and_links_are_bounded_and_the_rest_counted() {
    shared();
    let span = info_span!("bounded");
    let linked = |number: u8| {
        let (trace, span) = (TraceId::from_bytes([number; 16]), SpanId::from_bytes([number; 8]));
        SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE)
    };
    let more = LIMIT + 2;
    span.in_scope(|| {
        for number in 0..more {
            span.set_attribute(format!("attribute.{number}"), "x".repeat(100));
            span.add_event("event", vec![KeyValue::new("number", i64::try_from(number).unwrap())]);
            span.add_link(linked(u8::try_from(number + 1).unwrap()));
        }
    });
    drop(span);
    let found = &arrived("bounded").await[0];
    assert_eq!([found.attributes.len(), found.events.len(), found.links.len()], [LIMIT; 3]);
    let dropped = [found.dropped_attributes_count, found.dropped_events_count, found.dropped_links_count]
        .map(|n| n as usize);
    assert_eq!(dropped, [more - LIMIT; 3]);
}

#[actix_rt::test]
async fn open_spans_are_listed_by_age_with_their_ids() {
    let (bench, _) = shared();
    let open = async || {
        let mut spans = bench.observability.send(GetOpenSpans).await.unwrap();
        spans.retain(|span| span.ids.iter().any(|(name, _)| name.starts_with("kept.")));
        spans
    };
    let first = info_span!("in code", otel.name = "renamed", kept.id = 7, other = "x", late.id = Empty);
    first.in_scope(|| annotate("noted.id", "n-1"));
    let second = info_span!("second", kept.id = "two");
    first.record("late.id", "l-1");
    let spans = open().await;
    assert_eq!([&*spans[0].name, &*spans[1].name], ["renamed", "second"]);
    let ids = [("kept.id", "7"), ("noted.id", "n-1"), ("late.id", "l-1")];
    assert_eq!(spans[0].ids, ids.map(|(name, value)| (name, value.to_owned())));
    assert_eq!(spans[0].trace_id, None, "to ask would start a span that may not have its parent yet");
    pause(Duration::from_secs(1));
    let trace = first.context().span().span_context().trace_id().to_string();
    assert_eq!(open().await[0].trace_id, Some(trace));
    drop((first, second));
    assert_eq!(open().await, []);
}
