//! `Shutdown`: the last message of a service. A process can be shut down once, so this is one test.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::time::{Duration, Instant};

use support::lines::saying;
use support::{Bench, endpoint};
use telemetry::{Shutdown, slog};
use testkit::otlp::OtlpSink;
use testkit::wait::{eventually, within};

#[actix_rt::test]
async fn a_shutdown_keeps_its_deadline_and_delivers_in_time() {
    let sink = OtlpSink::start();
    let bench = Bench::start(&[&endpoint(&sink)]);

    sink.close();
    tracing::info_span!("before").in_scope(|| ());
    slog::info!(bench.log, "before");
    let started = Instant::now();
    let shutdown = |patience: Duration| Shutdown { deadline: (Instant::now() + patience).into() };
    let hurried = bench.observability.send(shutdown(Duration::from_millis(300)));
    assert!(!within("a hurried shutdown", hurried).await.unwrap(), "a span could not leave");
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "a dead receiver held the process up for {took:?}");
    assert_eq!(saying(&bench.lines_so_far(), "before").len(), 1, "lines need no receiver");
    let lost = saying(&bench.lines_so_far(), "items not delivered in time, and lost").len();
    assert_eq!(lost, 1, "who looks for the trace must find out why there is none");

    sink.open();
    let patient = bench.observability.send(shutdown(Duration::from_secs(20)));
    assert!(within("a patient shutdown", patient).await.unwrap(), "everything has left");
    assert_eq!(sink.named("before").len(), 1);

    // As long as the process lives, telemetry does: the last words of a service and what they are about.
    tracing::info_span!("after").in_scope(|| slog::info!(bench.log, "after"));
    bench.flush().await;
    assert_eq!(sink.named("after").len(), 1);
    let lines = bench.lines_so_far();
    assert_eq!(saying(&lines, "after").len(), 1);
    let exported = async || {
        (bench.metric(r#"telemetry_exported_total{destination="1",signal="traces"}"#).await == 2)
            .then_some(())
    };
    eventually("both spans to count as exported", exported).await;
}
