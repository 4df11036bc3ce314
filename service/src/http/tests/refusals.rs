//! Requests that are refused without any work.

use actix_web::dev::ServiceRequest;

use super::*;
use crate::http::Admission;

/// Requests of each kind: some 20,000 in all.
const REQUESTS: usize = 6_667;
/// Records of a kind: a burst, and one each second.
const BURST: usize = 50;

#[actix_rt::test]
async fn refused_requests_are_measured_each_and_sampled_in_log_and_trace() {
    let seen = Capture::start();
    let limited = |request: &ServiceRequest| match request.peer_addr() {
        Some(_) => {
            let status = actix_web::http::StatusCode::TOO_MANY_REQUESTS;
            Err(Problem::new(status, "rate-limited", "Too many requests", "Wait.").retry_after(1))
        }
        None => Ok(()),
    };
    let app = app(observer(&seen), Data::new(probes()), routes).app_data(Data::new(Admission::new(limited)));
    let app = init_service(app).await;
    // Each comes with a trace that its client wants to be sampled.
    let parent = ("traceparent", format!("00-{TRACE}-{PARENT}-01"));
    let greedy = |path| request(Method::GET, path).peer_addr("192.0.2.1:9".parse().unwrap());
    let kinds: [(u16, &str, &str, &dyn Fn() -> TestRequest); 3] = [
        (404, "GET", "unmatched", &|| request(Method::GET, "/no/such/path")),
        (405, "DELETE", "/orders/{id}", &|| request(Method::DELETE, "/orders/1")),
        (429, "GET", "/orders/{id}", &|| greedy("/orders/1")),
    ];
    let started = std::time::Instant::now();
    for (status, _, _, request) in kinds {
        for number in 0..REQUESTS {
            let answer = answer(&app, request().insert_header(parent.clone()).to_request()).await;
            assert_eq!(answer.status, status);
            if number == 0 {
                assert_eq!(answer.json()["traceId"], TRACE);
            }
        }
    }
    let most = BURST + 1 + started.elapsed().as_secs() as usize;
    let (lines, spans) = (seen.lines(), seen.spans());
    for (status, method, route, _) in kinds {
        let series = format!(
            "http_request_duration_seconds_count{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}"
        );
        assert_eq!(seen.metric(&series), REQUESTS as f64, "{series}");
        let lines = lines.iter().filter(|line| line["http.response.status_code"] == status).count();
        let code = Some(status.to_string());
        let spans = spans.iter().filter(|span| attribute(span, "http.response.status_code") == code).count();
        assert!((BURST..=most).contains(&lines), "{lines} lines of {status}; at most {most}");
        assert_eq!(spans, lines, "spans of {status}");
    }
    assert_eq!(answer(&app, greedy("/livez").to_request()).await.status, 200, "the limit applies to probes");
}

#[actix_rt::test]
async fn a_line_says_how_many_were_suppressed_before_it() {
    let seen = Capture::start();
    let app = init_service(app(observer(&seen), Data::new(probes()), routes)).await;
    for _ in 0..BURST + 7 {
        answer(&app, request(Method::GET, "/no/such/path").to_request()).await;
    }
    let has_none = |line: &Value| line.get("omnitrace.requests.suppressed").is_none();
    assert!(seen.lines().iter().all(has_none), "a field without a value is in a line");
    let last = async || {
        answer(&app, request(Method::GET, "/no/such/path").to_request()).await;
        seen.lines().last().unwrap()["omnitrace.requests.suppressed"].clone()
    };
    let line = testkit::wait::eventually("a line after a second", async || match last().await {
        Value::Null => Err("no other line yet"),
        suppressed => Ok(suppressed),
    });
    assert!(line.await.as_u64().is_some_and(|suppressed| suppressed >= 7));
}
