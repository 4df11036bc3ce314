//! `OTEL_LOGS_EXPORTER=otlp`: every line is a record, too, in the trace it was written in, and only what is the same
//! for many lines can become a label.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::sync::OnceLock;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use support::lines::saying;
use support::{Bench, endpoint};
use telemetry::slog;
use testkit::otlp::{OtlpSink, hex};
use testkit::wait::eventually;

fn bench() -> &'static (Bench, OtlpSink) {
    static BENCH: OnceLock<(Bench, OtlpSink)> = OnceLock::new();
    BENCH.get_or_init(|| {
        let sink = OtlpSink::start();
        let quick = "--otel-blrp-schedule-delay=20";
        (Bench::start(&[&endpoint(&sink), "--otel-logs-exporter=otlp", "--log-level=trace", quick]), sink)
    })
}

fn value(attributes: &[KeyValue], key: &str) -> Option<Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

fn text(text: &str) -> Option<Value> {
    Some(Value::StringValue(text.to_owned()))
}

/// The records with this message, each with the attributes of the resource that it came under.
fn records(sink: &OtlpSink, message: &str) -> Vec<(Vec<KeyValue>, LogRecord)> {
    let mut found = Vec::new();
    for group in sink.logs() {
        let resource = group.resource.unwrap().attributes;
        let records = group.scope_logs.into_iter().flat_map(|scope| scope.log_records);
        let wanted =
            records.filter(|record| record.body.clone().and_then(|body| body.value) == text(message));
        found.extend(wanted.map(|record| (resource.clone(), record)));
    }
    found
}

#[actix_rt::test]
async fn a_line_is_a_record_with_its_fields_its_level_and_its_trace() {
    let (bench, sink) = bench();
    let log = bench.log.new(slog::o!("order.id" => "o-1"));
    tracing::info_span!("placing").in_scope(|| {
        slog::warn!(log, "order {}", "placed"; "count" => 3_u64, "ratio" => 0.5, "paid" => true, "none" => ());
    });
    bench.flush().await;
    let found = records(sink, "order placed");
    assert_eq!(found.len(), 1);
    let (resource, record) = &found[0];
    for (key, expected) in [
        ("order.id", text("o-1")),
        ("count", Some(Value::IntValue(3))),
        ("ratio", Some(Value::DoubleValue(0.5))),
        ("paid", Some(Value::BoolValue(true))),
        ("none", None),
        ("log.logger", text("otlp_logs")),
    ] {
        assert_eq!(value(&record.attributes, key), expected, "{key}");
    }
    assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "warn"));
    let placing = &sink.named("placing")[0];
    assert_eq!(
        (hex(&record.trace_id), hex(&record.span_id)),
        (hex(&placing.trace_id), hex(&placing.span_id))
    );
    for (key, expected) in [
        ("service.name", "test-service"),
        ("environment", "local"),
        ("level", "warn"),
        ("service.version", "1.2.3"),
    ] {
        assert_eq!(value(resource, key), text(expected), "{key}");
    }
    let lines = bench.lines().await;
    assert_eq!(saying(&lines, "order placed").len(), 1, "the file has it, too");
}

#[actix_rt::test]
async fn the_labels_of_a_record_are_the_same_for_all_of_its_level_whatever_it_says() {
    let (bench, sink) = bench();
    for number in 0..50 {
        slog::error!(bench.log, "labelled"; "order.id" => number);
        slog::debug!(bench.log, "labelled"; "order.id" => number);
    }
    bench.flush().await;
    let mut resources: Vec<_> = records(sink, "labelled").into_iter().map(|(resource, _)| resource).collect();
    assert_eq!(resources.len(), 100);
    resources.sort_by_key(|resource| format!("{resource:?}"));
    resources.dedup();
    assert_eq!(resources.len(), 2, "one for each level");
}

#[actix_rt::test]
async fn an_outage_of_the_receiver_costs_neither_records_nor_lines_of_the_file() {
    let (bench, sink) = bench();
    sink.close();
    for number in 0..2000 {
        slog::info!(bench.log, "during the outage"; "number" => number);
    }
    let in_file = async || (saying(&bench.lines_so_far(), "during the outage").len() == 2000).then_some(());
    eventually("all lines to be in the file", in_file).await;
    sink.open();
    bench.flush().await;
    assert_eq!(records(sink, "during the outage").len(), 2000);
    let dropped = r#"telemetry_dropped_total{destination="1",reason="queue_full",signal="logs"}"#;
    assert_eq!(bench.metric(dropped).await, 0);
}

#[actix_rt::test]
async fn libraries_are_heard_and_the_pipeline_does_not_hear_itself() {
    let (bench, sink) = bench();
    tracing::info!(target: "library", "spoken");
    bench.flush().await;
    assert_eq!(records(sink, "spoken").len(), 1);
    let loggers: Vec<_> = sink.logs().into_iter().flat_map(|group| group.scope_logs).collect();
    let own = loggers.iter().flat_map(|scope| &scope.log_records);
    let own = own.filter(|record| {
        value(&record.attributes, "log.logger")
            .is_some_and(|logger| matches!(logger, Value::StringValue(name) if name.starts_with("hyper")))
    });
    assert_eq!(own.count(), 0, "a request about a request");
}
