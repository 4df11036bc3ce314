//! The routes of operations leave no trace of themselves, and a scrape has every metric.

use telemetry::Gather;
use telemetry::metrics::Format;
use testkit::exposition::Samples;
use testkit::wait::eventually;

use crate::observed::{Request, observed};
use crate::support::lines::of_trace;

#[actix_rt::test]
async fn probes_and_scrapes_are_not_recorded() {
    let mut traces = Vec::new();
    for path in ["/metrics", "/livez", "/readyz"] {
        let mut request = Request::new("GET", path);
        let response = request.send().await;
        assert_ne!(response.status(), 404, "{path}");
        assert!(!response.headers().contains_key("traceresponse"), "{path}");
        traces.push(request.trace);
    }
    // A later request on the same worker: had the probes made spans, those would have ended before its own.
    let mut later = Request::new("GET", "/nothing");
    later.send().await;
    later.server_span().await;

    let lines = observed().bench.lines().await;
    for trace in &traces {
        assert!(observed().sink.of_trace(trace).is_empty());
        assert!(of_trace(&lines, trace).is_empty());
    }
    for path in ["/metrics", "/livez", "/readyz"] {
        assert!(!lines.iter().any(|line| line.get("url.path") == path), "{path} was logged");
        let label = format!("route=\"{path}\"");
        assert!(!observed().bench.gather().await.contains(&label), "{path} was measured");
    }
}

#[actix_rt::test]
async fn a_scrape_is_a_page_in_the_text_format() {
    let page = observed().bench.gather().await;
    let samples = Samples::parse(&page).unwrap_or_else(|error| panic!("{error}"));
    for series in [
        r#"build_info{service="test-service",version="1.2.3"}"#,
        "process_resident_memory_bytes",
        r#"telemetry_recorded_total{signal="traces"}"#,
        r#"telemetry_exported_total{destination="1",signal="traces"}"#,
        r#"telemetry_queued{destination="1",signal="traces"}"#,
        r#"telemetry_dropped_total{destination="1",reason="queue_full",signal="traces"}"#,
        r#"telemetry_dropped_total{destination="1",reason="spool_full",signal="traces"}"#,
        r#"telemetry_rejected_total{destination="1",reason="bad_request",signal="traces"}"#,
        r#"telemetry_log_lines_total{destination="file"}"#,
        r#"telemetry_log_lines_dropped_total{destination="file",reason="queue_full"}"#,
        r#"telemetry_log_lines_dropped_total{destination="file",reason="write_failed"}"#,
    ] {
        assert!(samples.find(series).is_some(), "{series} is missing");
    }
    assert!(samples.values().all(f64::is_finite));
}

#[actix_rt::test]
async fn the_duration_of_a_request_leads_to_its_trace() {
    let mut request = Request::new("GET", "/orders/42");
    let trace = format!("trace_id=\"{}\"", request.trace);
    // Another test may ask for the same route meanwhile, and be the newest then.
    eventually("the trace among the exemplars", async || {
        request.send().await;
        let page = observed().bench.observability.send(Gather(Format::OpenMetrics)).await.unwrap().unwrap();
        page.lines().any(|line| line.contains("route=\"/orders/{id}\"") && line.contains(&trace))
    })
    .await;
}

#[actix_rt::test]
async fn the_reference_explains_every_metric() {
    let page = observed().bench.gather().await;
    let reference = include_str!("../../REFERENCE.md");
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let ours: Vec<_> = families.filter(|family| !family.starts_with("process_")).collect();
    assert!(ours.len() >= 7, "{ours:?}");
    for family in &ours {
        assert!(reference.contains(&format!("| `{family}` |")), "{family} is missing in REFERENCE.md");
    }
    for listed in reference.lines().filter_map(|line| line.strip_prefix("| `telemetry_")?.split('`').next()) {
        assert!(ours.contains(&format!("telemetry_{listed}").as_str()), "telemetry_{listed} does not exist");
    }
}
