//! `OTEL_SDK_DISABLED=true`: no signal leaves over OTLP, and propagation still works.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use support::lines::saying;
use support::{Bench, endpoint};
use telemetry::propagation::TraceContext;
use testkit::otlp::OtlpSink;
use tracing::info_span;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[actix_rt::test]
async fn a_disabled_sdk_sends_nothing_and_passes_contexts_on() {
    let sink = OtlpSink::start();
    let endpoint = endpoint(&sink);
    let exporters = ["--otel-logs-exporter=otlp", "--otel-metrics-exporter=otlp"];
    let bench = Bench::start(&[&endpoint, "--otel-sdk-disabled=true", exporters[0], exporters[1]]);
    let received = TraceContext::read(|name| (name == "traceparent").then(|| PARENT.to_owned()));
    let span = info_span!("passed on");
    received.adopt(&span);
    span.in_scope(|| {
        info_span!("below").in_scope(|| assert_eq!(TraceContext::current(), received));
        telemetry::slog::info!(bench.log, "written all the same");
    });
    let lines = bench.lines().await;
    let line = saying(&lines, "written all the same")[0];
    assert_eq!(line.get("trace.id"), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(sink.attempts().len() + sink.metrics().len(), 0);
}
