//! A handler that panics or refuses: what the client gets, what the log keeps, what the span says.

use actix_web::HttpResponse;
use telemetry::problem::Problem;
use testkit::otlp::{attribute, hex};

use crate::support::lines::{of_trace, saying};
use crate::{ERROR, Request, observed, status_code};

pub(crate) async fn panics() -> HttpResponse {
    panic!("the handler met {}", "its end")
}

pub(crate) async fn refuses() -> Result<HttpResponse, Problem> {
    Err(Problem::unavailable("Not now.").retry_after(7))
}

async fn panic_is_answered_logged_and_traced(path: &str, cause: &str, route: &str) {
    let mut request = Request::new("GET", path);
    let response = request.send().await;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let answered = response.headers()["traceresponse"].to_str().unwrap().to_owned();
    let body = response.text().await.unwrap();
    assert!(!body.contains(cause), "the cause is not for the client: {body}");
    let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["type"], "/problems/internal");
    assert_eq!(problem["traceId"], request.trace);

    let span = request.server_span().await;
    assert_eq!(answered, format!("00-{}-{}-01", request.trace, hex(&span.span_id)));
    assert_eq!(status_code(&span), ERROR);
    assert_eq!(attribute(&span.attributes, "http.response.status_code").as_deref(), Some("500"));
    assert_eq!(attribute(&span.attributes, "error.type").as_deref(), Some("500"));

    let lines = observed().bench.lines().await;
    let lines = of_trace(&lines, &request.trace);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].message(), "request handler panicked");
    assert_eq!(lines[0].get("log.level"), "critical");
    assert_eq!(lines[0].get("error.message"), cause);
    assert_eq!(lines[0].get("span.id"), &hex(&span.span_id));
    assert_eq!(lines[1].get("http.response.status_code"), 500);

    let series =
        format!(r#"http_request_duration_seconds_count{{method="GET",route="{route}",status="500"}}"#);
    assert!(observed().bench.metric(&series).await >= 1);

    let mut next = Request::new("GET", "/orders/after-panic");
    assert_eq!(next.send().await.status(), 200);
    // A span that the panic left open would be the parent of this one.
    assert_eq!(hex(&next.server_span().await.parent_span_id), next.parent);
}

#[actix_rt::test]
async fn a_handler_that_panics_is_a_500_with_its_trace_id_and_the_next_request_works() {
    panic_is_answered_logged_and_traced("/panics", "the handler met its end", "/panics").await;
}

#[actix_rt::test]
async fn a_middleware_that_panics_before_its_first_await_is_no_different() {
    let path = "/panics/in/middleware";
    panic_is_answered_logged_and_traced(path, "middleware out of order", "unmatched").await;
}

#[actix_rt::test]
async fn a_problem_is_an_error_of_the_span_from_500_on() {
    let mut request = Request::new("GET", "/refuses");
    let response = request.send().await;
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("traceresponse"));
    let span = request.server_span().await;
    assert_eq!(status_code(&span), ERROR);
    assert_eq!(attribute(&span.attributes, "error.type").as_deref(), Some("503"));
    let lines = observed().bench.lines().await;
    assert!(saying(&lines, "request handler panicked").iter().all(|l| l.get("trace.id") != &request.trace));
}
