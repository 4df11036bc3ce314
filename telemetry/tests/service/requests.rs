//! One request: its span, its log lines, its header and its measurement, all of one trace.

use testkit::otlp::{attribute, hex};
use testkit::wait::eventually;

use crate::observed::{ERROR, Request, UNSET, client, observed, status_code};
use crate::support::lines::of_trace;

#[actix_rt::test]
async fn a_request_is_one_span_that_continues_the_trace_of_its_caller() {
    let mut request = Request::new("GET", "/orders/4711?secret=1");
    request.builder = request.builder.header("tracestate", "vendor=1").header("user-agent", "tester");
    let response = request.send().await;
    let span = request.server_span().await;

    assert_eq!(span.name, "GET /orders/{id}");
    assert_eq!(hex(&span.parent_span_id), request.parent);
    assert_eq!(span.trace_state, "vendor=1");
    assert_ne!(span.flags & 0x200, 0, "the parent is not marked as remote");
    assert_eq!(status_code(&span), UNSET);
    assert!(span.start_time_unix_nano < span.end_time_unix_nano);
    let port = observed().url.rsplit_once(':').unwrap().1;
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/orders/{id}"),
        ("http.response.status_code", "200"),
        ("url.path", "/orders/4711"),
        ("url.scheme", "http"),
        ("server.address", "127.0.0.1"),
        ("server.port", port),
        ("client.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "tester"),
    ] {
        assert_eq!(attribute(&span.attributes, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(attribute(&span.attributes, "error.type"), None);
    let answered = response.headers().get("traceresponse").unwrap().to_str().unwrap();
    assert_eq!(answered, format!("00-{}-{}-01", request.trace, hex(&span.span_id)));
}

#[actix_rt::test]
async fn a_span_says_which_service_it_comes_from() {
    let mut request = Request::new("GET", "/nothing");
    request.send().await;
    request.server_span().await;
    let resource = |key| observed().sink.resource(key);
    assert_eq!(resource("service.name").as_deref(), Some("test-service"));
    assert_eq!(resource("service.version").as_deref(), Some("1.2.3"));
    assert_eq!(resource("deployment.environment.name").as_deref(), Some("local"));
    // Backends that key processes by it need it to be there, and distinct.
    assert!(resource("service.instance.id").is_some_and(|id| id.len() == 36));
}

#[actix_rt::test]
async fn every_line_of_a_request_carries_its_trace_and_span() {
    let mut request = Request::new("GET", "/orders/4712");
    request.send().await;
    let span = request.server_span().await;
    let lines = observed().bench.lines().await;
    let lines = of_trace(&lines, &request.trace);
    let messages: Vec<_> = lines.iter().map(|line| line.message()).collect();
    assert_eq!(messages, ["order read", "request answered"]);
    for line in &lines {
        assert_eq!(line.get("span.id"), &hex(&span.span_id));
    }
    assert_eq!(lines[0].get("order.id"), "4712");
    assert_eq!(lines[0].get("log.logger"), "service::handlers");
    assert_eq!(lines[1].get("http.request.method"), "GET");
    assert_eq!(lines[1].get("http.route"), "/orders/{id}");
    assert_eq!(lines[1].get("http.response.status_code"), 200);
    assert_eq!(lines[1].get("url.path"), "/orders/4712");
    assert!(lines[1].get("event.duration").as_u64().is_some_and(|nanoseconds| nanoseconds > 0));
}

#[actix_rt::test]
async fn a_request_is_measured_by_method_route_and_status() {
    let series = r#"http_request_duration_seconds_count{method="GET",route="/nothing",status="204"}"#;
    let before = observed().bench.metric(series).await;
    for _ in 0..3 {
        Request::new("GET", "/nothing").send().await;
    }
    // Other tests may ask for the same route meanwhile.
    assert!(observed().bench.metric(series).await >= before + 3);
    let page = observed().bench.gather().await;
    assert!(!page.contains("/orders/47"), "a raw path became a label");
}

#[actix_rt::test]
async fn series_of_declared_routes_exist_before_a_request() {
    let page = observed().bench.gather().await;
    for status in ["201", "500", "503", "504"] {
        let series = format!(
            r#"http_request_duration_seconds_count{{method="POST",route="/born/early",status="{status}"}} 0"#
        );
        assert!(page.contains(&series), "{series} is missing");
    }
}

#[actix_rt::test]
async fn a_path_without_route_is_a_404_and_never_a_name_or_a_label() {
    let mut request = Request::new("GET", "/no/such/path");
    let response = request.send().await;
    assert_eq!(response.status(), 404);
    assert!(response.headers().contains_key("traceresponse"));

    let span = request.server_span().await;
    assert_eq!(span.name, "GET");
    assert_eq!(attribute(&span.attributes, "http.route"), None);
    assert_eq!(status_code(&span), UNSET, "a 4xx is the error of the client");
    let series = r#"http_request_duration_seconds_count{method="GET",route="unmatched",status="404"}"#;
    assert!(observed().bench.metric(series).await >= 1);
    assert!(!observed().bench.gather().await.contains("/no/such"));
}

#[actix_rt::test]
async fn an_unheard_of_method_is_neither_a_label_nor_a_name() {
    let mut request = Request::new("BREW", "/orders/1");
    let response = request.send().await;
    assert_eq!(response.status(), 405);
    let span = request.server_span().await;
    assert_eq!(span.name, "HTTP /orders/{id}");
    assert_eq!(attribute(&span.attributes, "http.request.method").as_deref(), Some("_OTHER"));
    assert_eq!(attribute(&span.attributes, "http.request.method_original").as_deref(), Some("BREW"));
    let series = r#"http_request_duration_seconds_count{method="_OTHER",route="/orders/{id}",status="405"}"#;
    assert_eq!(observed().bench.metric(series).await, 1);
    assert!(!observed().bench.gather().await.contains("BREW"));
}

#[actix_rt::test]
async fn a_response_is_an_error_of_the_span_from_500_on() {
    let mut request = Request::new("GET", "/fails");
    let response = request.send().await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("traceresponse"));
    let span = request.server_span().await;
    assert_eq!(status_code(&span), ERROR);
    assert_eq!(attribute(&span.attributes, "error.type").as_deref(), Some("503"));
}

#[actix_rt::test]
async fn a_405_is_named_by_its_route_and_no_error_of_the_span() {
    let mut request = Request::new("DELETE", "/orders/1");
    assert_eq!(request.send().await.status(), 405);
    let span = request.server_span().await;
    assert_eq!(span.name, "DELETE /orders/{id}");
    assert_ne!(status_code(&span), ERROR);
}

#[actix_rt::test]
async fn a_traceparent_that_means_nothing_starts_a_new_trace() {
    for headers in [
        vec!["00-00000000000000000000000000000000-0000000000000000-01"],
        vec!["nonsense"],
        vec![
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-01",
        ],
    ] {
        let mut request = client().get(format!("{}/nothing", observed().url));
        for value in &headers {
            request = request.header("traceparent", *value);
        }
        let response = request.send().await.unwrap();
        let answered = response.headers()["traceresponse"].to_str().unwrap().to_owned();
        let trace = answered.split('-').nth(1).unwrap().to_owned();
        assert!(!headers.iter().any(|value| value.contains(&trace)), "{headers:?} was continued");
        let span =
            eventually("the span of a new trace", async || observed().sink.of_trace(&trace).pop()).await;
        assert!(span.parent_span_id.is_empty(), "a new trace has a root");
    }
}

#[actix_rt::test]
async fn a_trace_that_its_caller_does_not_record_is_not_recorded_here() {
    let trace = "0123456789abcdef0123456789abcdef";
    let request = client().get(format!("{}/orders/unsampled", observed().url));
    request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-00")).send().await.unwrap();
    // A later request on the same worker: what came before it has ended.
    let mut later = Request::new("GET", "/nothing");
    later.send().await;
    later.server_span().await;
    assert!(observed().sink.of_trace(trace).is_empty());
    let lines = observed().bench.lines().await;
    let messages: Vec<_> = of_trace(&lines, trace).iter().map(|line| line.message()).collect();
    assert_eq!(messages, ["order read", "request answered"], "its lines are written all the same");
}

#[actix_rt::test]
async fn contexts_are_carried_on_as_far_as_listed_and_bounded() {
    let long = vec!["a=1"; 33].join(",");
    for (sent, tracestate, baggage) in [
        (vec![("tracestate", "vendor=1")], Some("vendor=1"), None),
        (vec![("tracestate", long.as_str()), ("baggage", "user=ada")], None, None),
        (vec![("baggage", "user=ada,tenant=acme;ttl=1,,=")], None, Some("tenant=acme")),
        // Decoded and encoded again it must be the same.
        (vec![("baggage", "tenant=a=b%2541")], None, Some("tenant=a=b%2541")),
    ] {
        let mut request = Request::new("GET", "/carried");
        for (name, value) in &sent {
            request.builder = request.builder.header(*name, *value);
        }
        let response = request.send().await;
        assert_eq!(response.status(), 200, "{sent:?}");
        let carried: serde_json::Value = response.json().await.unwrap();
        assert!(carried["traceparent"].as_str().unwrap().contains(&request.trace), "{sent:?}: {carried}");
        assert_eq!(carried["tracestate"].as_str(), tracestate, "{sent:?}");
        assert_eq!(carried["baggage"].as_str(), baggage, "{sent:?}");
    }
}
