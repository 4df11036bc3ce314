//! The routes with a real alert log.

use actix::Actor;
use actix_web::http::header::AUTHORIZATION;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, test};
use secrecy::SecretString;
use serde_json::{Value, json};
use telemetry::testing::Capture;

use super::*;

const TOKEN: &str = "9f86d081884c7d659a2feaa0c55ad015";

/// The notification that Alertmanager sends about these alerts.
fn webhook(alerts: &[Value]) -> Value {
    json!({
        "version": "4", "groupKey": "{}:{alertname=\"ServiceDown\"}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "on-call", "groupLabels": {"alertname": "ServiceDown"}, "commonLabels": {},
        "commonAnnotations": {}, "externalURL": "http://alertmanager:9093", "alerts": alerts,
    })
}

fn alert(status: &str, ends_at: &str) -> Value {
    json!({
        "status": status, "labels": {"alertname": "ServiceDown", "severity": "page", "service": "email-service"},
        "annotations": {"summary": "email-service is down"}, "startsAt": "2026-11-24T23:00:00.123Z",
        "endsAt": ends_at, "generatorURL": "http://prometheus:9090/graph", "fingerprint": "98c5a9f1",
    })
}

fn fires() -> Value {
    alert("firing", "0001-01-01T00:00:00Z")
}

/// Sends the requests to one app; the status and the body of each response.
async fn ask(token: Option<&str>, requests: Vec<TestRequest>) -> Vec<(u16, Value)> {
    let seen = Capture::start();
    let log = AlertLog::new(&seen.log()).start();
    let token = token.map(|token| Token::new(&SecretString::from(token)));
    let app = App::new().configure(|routes| alert_routes(routes, token.as_ref(), &log));
    let app = init_service(app).await;
    let mut answers = Vec::new();
    for request in requests {
        let answer = call_service(&app, request.to_request()).await;
        let status = answer.status().as_u16();
        let body = test::read_body(answer).await;
        answers.push((status, serde_json::from_slice(&body).unwrap_or_default()));
    }
    answers
}

fn authorized(request: TestRequest) -> TestRequest {
    request.uri(ALERTS).insert_header((AUTHORIZATION, format!("Bearer {TOKEN}")))
}

fn post(body: &Value) -> TestRequest {
    authorized(TestRequest::post()).set_json(body)
}

#[actix_rt::test]
async fn notices_are_listed_the_newest_first() {
    let resolved = alert("resolved", "2026-11-24T23:05:00Z");
    let requests =
        vec![post(&webhook(&[fires()])), post(&webhook(&[resolved])), authorized(TestRequest::get())];
    let answers = ask(Some(TOKEN), requests).await;
    assert_eq!((answers[0].0, answers[1].0, answers[2].0), (204, 204, 200));
    let notices = answers[2].1.as_array().unwrap();
    assert_eq!(notices.len(), 2);
    assert_eq!(
        (&notices[0]["status"], &notices[0]["endsAt"]),
        (&json!("resolved"), &json!("2026-11-24T23:05:00Z"))
    );
    assert_eq!((&notices[1]["status"], &notices[1]["endsAt"]), (&json!("firing"), &Value::Null));
    assert_eq!(notices[1]["startsAt"], "2026-11-24T23:00:00.123Z");
    assert_eq!(notices[1]["labels"]["service"], "email-service");
    assert_eq!(notices[1]["annotations"]["summary"], "email-service is down");
}

#[actix_rt::test]
async fn a_notification_of_300_kib_is_recorded_whole() {
    let mut alerts = vec![fires(); 600];
    for (number, alert) in alerts.iter_mut().enumerate() {
        alert["fingerprint"] = number.to_string().into();
    }
    let mut body = webhook(&alerts);
    body["truncatedAlerts"] = 7.into();
    assert!(body.to_string().len() > 150 * 1024);
    body["commonAnnotations"] = json!({"description": "x".repeat(150 * 1024)});
    let answers = ask(Some(TOKEN), vec![post(&body), authorized(TestRequest::get())]).await;
    assert_eq!(answers[0].0, 204);
    assert_eq!(answers[1].1[0]["fingerprint"], "599");
}

#[actix_rt::test]
async fn what_fits_of_a_larger_notification_is_recorded_and_the_cut_said() {
    let seen = Capture::start();
    let log = AlertLog::new(&seen.log()).start();
    let token = Token::new(&SecretString::from(TOKEN));
    let app = init_service(App::new().configure(|routes| alert_routes(routes, Some(&token), &log))).await;
    let mut alert = fires();
    alert["annotations"]["description"] = "é\"alerts\":[".repeat(20_000).into();
    // In the order in which Alertmanager writes.
    let body = format!(
        "{{\"receiver\":\"on-call\",\"status\":\"firing\",\"alerts\":[{}],\"version\":\"4\"}}",
        vec![alert.to_string(); 5].join(",")
    );
    assert!(body.len() > MAX_BODY);
    let request = authorized(TestRequest::post()).insert_header(("content-type", "application/json"));
    let answer = call_service(&app, request.set_payload(body).to_request()).await;
    assert_eq!(answer.status(), 204);
    let answer = call_service(&app, authorized(TestRequest::get()).to_request()).await;
    let notices: Value = test::read_body_json(answer).await;
    let notices = notices.as_array().unwrap();
    assert!((2..5).contains(&notices.len()), "{} notices", notices.len());
    let description = notices[0]["annotations"]["description"].as_str().unwrap();
    assert!(description.len() < 1100 && description.ends_with('…'), "{} bytes", description.len());
    let lines = seen.lines();
    let cut = lines.last().unwrap();
    assert_eq!(cut["omnitrace.alerts.recorded"], notices.len());
    assert!(cut["message"].as_str().unwrap().starts_with("notification cut"), "{cut}");
}

#[actix_rt::test]
async fn a_request_without_the_token_is_refused() {
    let bear = |token: &str| (AUTHORIZATION, format!("Bearer {token}"));
    let requests = vec![
        TestRequest::get().uri(ALERTS),
        TestRequest::post().uri(ALERTS).set_json(webhook(&[fires()])),
        TestRequest::get().uri(ALERTS).insert_header(bear(&TOKEN[1..])),
        TestRequest::get().uri(ALERTS).insert_header(bear("")),
    ];
    for (status, body) in ask(Some(TOKEN), requests).await {
        assert_eq!((status, &body["type"]), (401, &json!("/problems/unauthorized")));
    }
}

#[actix_rt::test]
async fn without_a_token_the_answer_names_the_setting() {
    let requests = vec![authorized(TestRequest::get()), post(&webhook(&[fires()]))];
    for (status, body) in ask(None, requests).await {
        assert_eq!(status, 404);
        assert!(body["detail"].as_str().unwrap().contains("ALERTS_TOKEN"), "{body}");
    }
}

#[actix_rt::test]
async fn a_bad_notification_is_refused_and_not_recorded() {
    let with = |pointer: &str, value: Value| {
        let mut body = webhook(&[fires()]);
        *body.pointer_mut(pointer).unwrap() = value;
        post(&body)
    };
    let text = |body: &'static str| {
        authorized(TestRequest::post()).insert_header(("content-type", "application/json")).set_payload(body)
    };
    let large = json!({"version": "4", "alerts": [], "groupKey": "x".repeat(MAX_BODY)});
    let cases = [
        ("no body", text(""), 400, None),
        ("no JSON", text("{"), 400, None),
        ("an array", text("[]"), 422, Some("")),
        ("null", text("null"), 422, Some("")),
        ("another version", with("/version", json!("3")), 422, Some("/version")),
        ("a version that is a number", with("/version", json!(4)), 422, Some("")),
        ("no alerts", with("/alerts", Value::Null), 422, Some("")),
        ("an alert that is an array", with("/alerts/0", json!([])), 422, Some("")),
        ("an unheard-of status", with("/alerts/0/status", json!("smoking")), 422, Some("/alerts/0/status")),
        ("a start that is no time", with("/alerts/0/startsAt", json!("now")), 422, Some("")),
        ("labels that are no texts", with("/alerts/0/labels", json!({"a": 1})), 422, Some("")),
        ("too much, and no alert", post(&large), 413, None),
        ("no content type", authorized(TestRequest::post()).set_payload("{}"), 415, None),
    ];
    let expected: Vec<_> = cases.iter().map(|(name, _, status, blamed)| (*name, *status, *blamed)).collect();
    let mut requests: Vec<_> = cases.into_iter().map(|(_, request, ..)| request).collect();
    requests.push(authorized(TestRequest::get()));
    let mut answers = ask(Some(TOKEN), requests).await;
    assert_eq!(answers.pop().unwrap(), (200, json!([])));
    for ((name, status, blamed), (answered, body)) in expected.into_iter().zip(answers) {
        assert_eq!(answered, status, "{name}: {body}");
        assert_eq!(body.pointer("/errors/0/pointer").and_then(Value::as_str), blamed, "{name}: {body}");
    }
}
