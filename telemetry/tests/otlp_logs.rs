//! `OTEL_LOGS_EXPORTER=otlp`: every line is a record, too, in the trace it was written in, below the one resource of the
//! process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::sync::OnceLock;

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use support::lines::saying;
use support::{Bench, endpoint};
use telemetry::slog;
use testkit::otlp::{OtlpSink, attribute, hex};
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
async fn a_line_is_a_record_with_its_fields_level_and_trace() {
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
        ("deployment.environment.name", "local"),
        ("service.version", "1.2.3"),
    ] {
        assert_eq!(value(resource, key), text(expected), "{key}");
    }
    let lines = bench.lines().await;
    assert_eq!(saying(&lines, "order placed").len(), 1, "the file has it, too");
}

#[actix_rt::test]
async fn a_process_has_one_resource_for_spans_and_records() {
    let (bench, sink) = bench();
    tracing::info_span!("resource").in_scope(|| {
        for number in 0..50 {
            slog::error!(bench.log, "labelled"; "order.id" => number);
            slog::debug!(bench.log, "labelled"; "order.id" => number);
        }
    });
    bench.flush().await;
    let mut resources: Vec<_> = records(sink, "labelled").into_iter().map(|(resource, _)| resource).collect();
    assert_eq!(resources.len(), 100);
    resources.sort_by_key(|resource| format!("{resource:?}"));
    resources.dedup();
    assert_eq!(resources.len(), 1);
    let resource = &resources[0];
    let pid = Some(Value::IntValue(std::process::id().into()));
    assert_eq!((value(resource, "process.pid"), value(resource, "os.type")), (pid, text("linux")));
    for key in ["host.name", "service.instance.id", "process.pid", "os.type"] {
        let found = attribute(resource, key);
        assert!(found.is_some() && found == sink.resource(key), "{key}: {found:?}");
    }
}

#[actix_rt::test]
async fn integers_of_128_bits_are_numbers_as_far_as_they_fit() {
    let (bench, sink) = bench();
    let took = std::time::Duration::from_millis(81);
    slog::info!(bench.log, "measured"; "event.duration" => took.as_nanos(), "large" => u128::MAX, "debt" => -7_i128);
    bench.flush().await;
    let (_, record) = &records(sink, "measured")[0];
    for (key, expected) in [
        ("event.duration", Some(Value::IntValue(81_000_000))),
        ("large", text(&u128::MAX.to_string())),
        ("debt", Some(Value::IntValue(-7))),
    ] {
        assert_eq!(value(&record.attributes, key), expected, "{key}");
    }
}

#[actix_rt::test]
async fn an_outage_costs_neither_records_nor_lines() {
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
async fn events_of_libraries_are_records_and_the_pipeline_has_none() {
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
