//! The routes of operations: what they say, and that they leave no trace of themselves.

use telemetry::http::Check;
use testkit::exposition::Samples;
use testkit::wait::eventually;

use crate::support::lines::of_trace;
use crate::{Request, client, observed};

#[actix_rt::test]
async fn probes_and_scrapes_are_neither_traced_nor_logged_nor_measured() {
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
async fn readyz_tells_every_check_and_fails_only_for_what_is_needed() {
    for (state, status, overall, told) in [
        (Check::Ok, 200, "ready", "ok"),
        (Check::Degraded("replica is behind".to_owned()), 200, "ready", "degraded: replica is behind"),
        (Check::Failed("disk is full".to_owned()), 503, "not ready", "failed: disk is full"),
        (Check::Ok, 200, "ready", "ok"),
    ] {
        *observed().health.lock().unwrap() = state;
        let response = Request::new("GET", "/readyz").send().await;
        assert_eq!(response.status(), status);
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["status"], overall);
        assert_eq!(body["checks"]["store"], told);
        assert_eq!(body["checks"]["keeper"], "ok");
    }
}

#[actix_rt::test]
async fn livez_answers_whatever_the_checks_say() {
    let response = Request::new("GET", "/livez").send().await;
    assert_eq!(response.status(), 200);
}

#[actix_rt::test]
async fn a_scrape_is_a_page_in_the_text_format() {
    let response = Request::new("GET", "/metrics").send().await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    let page = response.text().await.unwrap();
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
async fn a_scraper_gets_the_format_that_it_likes_best() {
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = "text/plain; version=0.0.4";
    let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
        text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
        text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for (accept, expected) in [
        (prometheus_2, open),
        (prometheus_3, open),
        ("application/openmetrics-text", open),
        ("APPLICATION/OpenMetrics-Text; version=1.0.0, text/plain", open),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.3", text),
        ("application/openmetrics-text;q=0.2, */*;q=0.3", text),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.1, */*;q=0.3", open),
        ("application/openmetrics-text;q=0", text),
        ("application/openmetrics-text;version=2.0.0, */*;q=0.1", text),
        ("text/html,application/xhtml+xml,*/*;q=0.8", text),
        ("*/*", text),
        ("application/json", text),
        ("application/openmetrics-text;;q", text),
    ] {
        let request = client().get(format!("{}/metrics", observed().url)).header("accept", accept);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], expected, "{accept}");
        assert_eq!(response.headers()["vary"], "Accept");
        let ends = response.text().await.unwrap().ends_with("\n# EOF\n");
        assert_eq!(ends, expected == open, "{accept}");
    }
}

#[actix_rt::test]
async fn the_duration_of_a_request_leads_to_its_trace() {
    let mut request = Request::new("GET", "/orders/42");
    let trace = format!("trace_id=\"{}\"", request.trace);
    // Another test may ask for the same route meanwhile, and be the newest then.
    eventually("the trace among the exemplars", async || {
        request.send().await;
        let scrape = client()
            .get(format!("{}/metrics", observed().url))
            .header("accept", "application/openmetrics-text");
        let page = scrape.send().await.unwrap().text().await.unwrap();
        page.lines().any(|line| line.contains("route=\"/orders/{id}\"") && line.contains(&trace))
    })
    .await;
}

#[actix_rt::test]
async fn the_readme_explains_every_metric_of_this_crate() {
    let page = Request::new("GET", "/metrics").send().await.text().await.unwrap();
    let readme = include_str!("../../README.md");
    let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let ours: Vec<_> = families.filter(|family| !family.starts_with("process_")).collect();
    assert!(ours.len() >= 7, "{ours:?}");
    for family in &ours {
        assert!(readme.contains(&format!("| `{family}` |")), "{family} is missing in README.md");
    }
    for listed in readme.lines().filter_map(|line| line.strip_prefix("| `telemetry_")?.split('`').next()) {
        assert!(ours.contains(&format!("telemetry_{listed}").as_str()), "telemetry_{listed} does not exist");
    }
}

#[actix_rt::test]
async fn another_method_on_a_probe_is_a_405() {
    let response = Request::new("POST", "/metrics").send().await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "GET, HEAD");
}
