//! What becomes of spans of `tracing`, as a receiver would see it. tests/service has the same over HTTP.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, Status, status::StatusCode};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample};
use prost::Message as _;
use tracing::field::Empty;
use tracing::{info_span, subscriber::DefaultGuard};

use super::*;
use crate::otlp::Message;
use crate::propagation::{TraceContext, annotate, link};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

struct Traces {
    ended: Arc<Mutex<Vec<Span>>>,
    _guard: DefaultGuard,
}

impl Traces {
    fn begin(sampler: Sampler) -> Self {
        Self::begin_with(
            sampler,
            Wanted::new(Targets::new().with_default(LevelFilter::TRACE), Targets::new()),
        )
    }

    fn begin_with(sampler: Sampler, wanted: Wanted) -> Self {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let kept = ended.clone();
        let tracer = Tracer::new(sampler, move |span| {
            let mut written = Message::default();
            span.write(&mut written, crate::clock::now());
            kept.lock().unwrap().push(Span::decode(written.as_bytes()).unwrap());
        });
        let subscriber = TelemetrySubscriber { tracer: Some(tracer), bridge: None, wanted };
        Self { ended, _guard: tracing::subscriber::set_default(subscriber) }
    }

    fn ended(&self) -> Vec<Span> {
        self.ended.lock().unwrap().clone()
    }
}

fn sent(flags: &str) -> TraceContext {
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
    TraceContext::read(|name| match name {
        "traceparent" => Some(parent.clone()),
        "tracestate" => Some("vendor=1".to_owned()),
        _ => None,
    })
}

fn keys(span: &Span) -> Vec<&str> {
    span.attributes.iter().map(|attribute| attribute.key.as_str()).collect()
}

#[test]
fn fields_that_begin_with_otel_say_what_a_span_is_and_the_others_are_attributes() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let span = info_span!(
        "given",
        otel.name = format!("said {}", 1),
        otel.kind = %"Server",
        otel.status_code = Empty,
        otel.status_description = Empty,
        text = "a",
        number = 7,
        large = u64::MAX,
        is_so = true,
        share = 0.5,
        shown = ?Some(1),
        later = Empty,
        never = Empty,
    );
    span.record("later", "b").record("otel.status_description", "broken").record("otel.status_code", "ERROR");
    span.in_scope(|| annotate("added", 8));
    drop(span);
    let [span] = &traces.ended()[..] else { panic!("{:?}", traces.ended()) };
    assert_eq!((span.name.as_str(), span.kind()), ("said 1", SpanKind::Server));
    assert_eq!(keys(span), ["text", "number", "large", "is_so", "share", "shown", "later", "added"]);
    let values = span.attributes.iter().map(|attribute| attribute.value.clone()?.value);
    let text = |text: &str| Some(Value::StringValue(text.to_owned()));
    let (seven, eight) = (Some(Value::IntValue(7)), Some(Value::IntValue(8)));
    let (large, is_so, share) =
        (text(&u64::MAX.to_string()), Some(Value::BoolValue(true)), Some(Value::DoubleValue(0.5)));
    let expected = [text("a"), seven, large, is_so, share, text("Some(1)"), text("b"), eight];
    assert_eq!(values.collect::<Vec<_>>(), expected);
    let status = Status { message: "broken".to_owned(), code: StatusCode::Error.into() };
    assert_eq!(span.status, Some(status));
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.start_time_unix_nano > 0);
}

#[test]
fn a_child_belongs_to_the_trace_of_its_parent_and_a_root_to_none_before_it() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let parent = info_span!("parent");
    parent.in_scope(|| {
        drop(info_span!("child"));
        drop(info_span!(parent: None, "root"));
    });
    drop(info_span!(parent: &parent, "named"));
    drop(parent);
    let ended = traces.ended();
    let [child, root, named, parent] = &ended[..] else { panic!("{ended:?}") };
    for child in [child, named] {
        assert_eq!((&child.trace_id, &child.parent_span_id), (&parent.trace_id, &parent.span_id));
    }
    assert!(root.parent_span_id.is_empty() && root.trace_id != parent.trace_id);
    assert!(parent.parent_span_id.is_empty() && parent.trace_id.len() == 16);
}

#[test]
fn a_parent_from_elsewhere_is_adopted_with_its_state_and_may_be_linked_instead() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let span = info_span!("adopts");
    sent("01").adopt(&span);
    span.in_scope(|| {
        assert_eq!(current().unwrap().trace_id().to_string(), TRACE);
        let fields = TraceContext::current();
        assert!(fields.fields().any(|field| field == ("tracestate", "vendor=1")), "{fields:?}");
        drop(info_span!("child"));
    });
    drop(span);
    let span = info_span!("links");
    TraceContext::default().adopt(&span);
    link(&span, &sent("01"));
    link(&span, &TraceContext::default());
    drop(span);
    let ended = traces.ended();
    let [child, adopts, links] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!(child.parent_span_id, adopts.span_id);
    assert_eq!((child.trace_state.as_str(), adopts.trace_state.as_str()), ("vendor=1", "vendor=1"));
    // Whether the parent is of another process: SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK.
    assert_eq!((adopts.flags & 0x300, child.flags & 0x300), (0x300, 0x100));
    let [to] = &links.links[..] else { panic!("{links:?}") };
    assert_eq!((&to.trace_id, &to.span_id), (&adopts.trace_id, &adopts.parent_span_id));
    assert_ne!(links.trace_id, adopts.trace_id);
}

#[test]
fn what_is_decided_for_a_trace_holds_for_all_of_its_spans() {
    let traces = Traces::begin(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
    for flags in ["00", "01"] {
        let span = info_span!("parent", flags);
        sent(flags).adopt(&span);
        span.in_scope(|| {
            drop(info_span!("child", flags));
            // Whoever is not sampled is still known: its lines belong to the trace.
            assert_eq!(current().unwrap().is_sampled(), flags == "01");
        });
    }
    let ended = traces.ended();
    assert_eq!(ended.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["child", "parent"]);
    assert!(ended.iter().all(|span| span.trace_state == "vendor=1"), "{ended:?}");
}

#[test]
fn a_span_ends_when_nobody_holds_it_any_more_even_if_a_child_goes_on() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let parent = info_span!("parent");
    let child = parent.in_scope(|| info_span!("child"));
    let held = parent.clone();
    drop(parent);
    assert_eq!(traces.ended(), []);
    drop(held);
    assert_eq!(traces.ended().len(), 1);
    // Another one may have its place by now.
    drop(info_span!("other"));
    child.in_scope(|| drop(info_span!("grandchild")));
    drop(child);
    let ended = traces.ended();
    let [parent, other, grandchild, child] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!((&child.parent_span_id, &child.trace_id), (&parent.span_id, &parent.trace_id));
    assert_eq!((&grandchild.parent_span_id, &grandchild.trace_id), (&child.span_id, &parent.trace_id));
    assert_ne!(other.trace_id, parent.trace_id);
}

#[test]
fn a_span_keeps_its_id_when_it_is_adopted_and_its_trace_when_it_is_adopted_by_nobody() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let span = info_span!("adopted");
    let id = |span: &tracing::Span| of(span, |span| span.carried.ids.clone()).unwrap();
    let first = id(&span);
    TraceContext::default().adopt(&span);
    assert_eq!(id(&span), first);
    sent("01").adopt(&span);
    let second = id(&span);
    assert_eq!((second.span_id(), second.trace_id().to_string().as_str()), (first.span_id(), TRACE));
    TraceContext::default().adopt(&span);
    let third = id(&span);
    assert_eq!(third.span_id(), first.span_id());
    assert!(third.trace_id() != first.trace_id() && third.trace_id() != second.trace_id());
    drop(span);
    assert!(traces.ended()[0].parent_span_id.is_empty());
}

#[test]
fn every_sampler_decides_as_that_of_the_sdk_does() {
    let share = || Sampler::TraceIdRatioBased(0.5);
    for sampler in [
        Sampler::AlwaysOn,
        Sampler::AlwaysOff,
        share(),
        Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
        Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
        Sampler::ParentBased(Box::new(share())),
    ] {
        let _traces = Traces::begin(sampler.clone());
        for parent in [TraceContext::default(), sent("00"), sent("01")] {
            let span = info_span!("sampled");
            parent.adopt(&span);
            let ours = of(&span, |span| span.carried.ids.clone()).unwrap();
            let remote = parent.span_context();
            let context = match remote.is_valid() {
                true => Context::new().with_remote_span_context(remote),
                false => Context::new(),
            };
            let kind = opentelemetry::trace::SpanKind::Internal;
            let theirs = sampler.should_sample(Some(&context), ours.trace_id(), "sampled", &kind, &[], &[]);
            let is_sampled = theirs.decision == SamplingDecision::RecordAndSample;
            assert_eq!(
                (ours.is_sampled(), ours.trace_state()),
                (is_sampled, &theirs.trace_state),
                "{sampler:?} {parent:?}"
            );
        }
    }
}

#[test]
fn a_span_ends_no_earlier_than_its_last_handle_is_dropped() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let span = info_span!("held");
    span.in_scope(|| ());
    let left = Instant::now();
    while left.elapsed() < Duration::from_millis(5) {}
    drop(span);
    let ended = traces.ended();
    assert!(ended[0].end_time_unix_nano - ended[0].start_time_unix_nano >= 5_000_000, "{ended:?}");
}

#[test]
fn an_id_that_outlives_its_span_is_that_of_nobody() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let gone = info_span!("gone").id();
    let other = info_span!("other");
    drop(info_span!(parent: gone, "orphan"));
    drop(other);
    let ended = traces.ended();
    let [gone, orphan, other] = &ended[..] else { panic!("{ended:?}") };
    assert!(orphan.parent_span_id.is_empty());
    assert!(orphan.trace_id != gone.trace_id && orphan.trace_id != other.trace_id);
}

#[test]
fn the_current_span_is_that_which_was_entered_last_in_whatever_order_they_are_left() {
    let _traces = Traces::begin(Sampler::AlwaysOn);
    let [first, second] = [info_span!("first"), info_span!("second")];
    let id = |span: &tracing::Span| of(span, |span| span.carried.ids.span_id());
    let here = || here(|span| span.carried.ids.span_id());
    assert_eq!(here(), None);
    let (in_first, in_second, again) = (first.enter(), second.enter(), first.enter());
    assert_eq!((here(), tracing::Span::current()), (id(&first), first.clone()));
    drop(again);
    assert_eq!(here(), id(&second));
    drop(in_first);
    assert_eq!((here(), tracing::Span::current()), (id(&second), second.clone()));
    drop(in_second);
    assert_eq!((here(), tracing::Span::current().id()), (None, None));
}

#[test]
fn a_span_may_be_opened_on_one_thread_entered_on_another_and_closed_on_a_third() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let spans: Vec<_> = (0..100).map(|number| info_span!("span", number)).collect();
    std::thread::scope(|threads| {
        for spans in spans.chunks(10) {
            threads.spawn(move || spans.iter().for_each(|span| span.in_scope(|| annotate("entered", true))));
        }
    });
    assert_eq!(traces.ended(), []);
    std::thread::spawn(|| drop(spans)).join().unwrap();
    let ended = traces.ended();
    assert!(ended.len() == 100 && ended.iter().all(|span| keys(span) == ["number", "entered"]), "{ended:?}");
}

#[test]
fn a_span_that_follows_from_another_is_linked_to_it() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let (cause, effect) = (info_span!("cause"), info_span!("effect"));
    effect.follows_from(&cause);
    drop((effect, cause));
    let ended = traces.ended();
    let [effect, cause] = &ended[..] else { panic!("{ended:?}") };
    assert_eq!(effect.links[0].span_id, cause.span_id);
    assert_ne!(effect.trace_id, cause.trace_id);
}

#[test]
fn attributes_and_links_are_bounded_and_what_is_left_out_is_counted() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let span = info_span!("long", first = 1, later = Empty);
    span.in_scope(|| (0..130).for_each(|number| annotate("number", number)));
    span.record("later", 1);
    (0..129).for_each(|_| link(&span, &sent("01")));
    drop(span);
    let [span] = &traces.ended()[..] else { panic!("{:?}", traces.ended()) };
    assert_eq!((span.attributes.len(), span.dropped_attributes_count), (128, 4));
    assert_eq!((span.links.len(), span.dropped_links_count), (128, 1));
}

/// Asks for the current span while it is formatted, as a value does that logs.
struct Curious;

impl fmt::Debug for Curious {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        drop(info_span!("within"));
        write!(formatter, "{}", current().is_some())
    }
}

#[test]
fn a_value_may_trace_while_it_is_formatted() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let span = info_span!("given", later = Empty);
    span.in_scope(|| span.record("later", tracing::field::debug(Curious)));
    drop(span);
    let names: Vec<_> = traces.ended().into_iter().map(|span| span.name).collect();
    assert_eq!(names, ["within", "given"]);
}

#[test]
fn what_the_pipelines_do_is_not_traced() {
    let traces = Traces::begin(Sampler::AlwaysOn);
    let silent = opentelemetry::Context::enter_telemetry_suppressed_scope();
    let span = info_span!("request").entered();
    assert_eq!((current(), TraceContext::current()), (None, TraceContext::default()));
    // Nor what they have others do.
    drop(silent);
    drop(info_span!("within"));
    drop(span);
    assert_eq!(traces.ended(), []);
}

#[test]
fn what_nobody_wants_is_refused_by_its_level() {
    let targets = |text: &str| text.parse::<Targets>().unwrap();
    for (spans, events, most) in [
        ("info,lapin=off", "warn", LevelFilter::INFO),
        ("info,lapin=off", "warn,payment=debug", LevelFilter::DEBUG),
        ("off", "off", LevelFilter::OFF),
    ] {
        let wanted = Wanted::new(targets(spans), targets(events));
        assert_eq!(wanted.most(), most, "{spans} and {events}");
    }
    let traces = Traces::begin_with(Sampler::AlwaysOn, Wanted::new(recorded(), Targets::new()));
    drop(info_span!(target: "lapin::channel", "connection"));
    drop(info_span!(target: "opentelemetry_sdk", "export"));
    drop(tracing::debug_span!("detail"));
    drop(info_span!("wanted"));
    assert_eq!(traces.ended().len(), 1);
}
