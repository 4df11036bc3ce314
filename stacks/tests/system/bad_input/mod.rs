//! Bad input over a real socket: each request gets its problem document, with the field and the trace, and none
//! reaches payment.
//!
//! The tables leave out what an order does not have: card data, dates, signed webhooks, access to orders of others.

mod case;
mod fields;
mod framing;
mod headers;
mod json;
mod routing;

use std::time::Instant;

use stacks::local::layout::{
    Component::{Gateway, Mailer, Payment},
    Layout,
};

use self::case::Case;
use crate::harness::{Connection, System, ask, request};

/// Requests, payments, events and e-mails behind the gateway: zero unless a request got through.
async fn downstream(system: &System) -> [f64; 5] {
    let (payment, mailer) = (system.metrics(Payment).await, system.metrics(Mailer).await);
    [
        payment.sum("http_request_duration_seconds_count", &[("route", "/process-payment")]),
        payment.sum("payment_processed_total", &[]),
        payment.get("outbox_pending"),
        mailer.sum("messaging_received_total", &[]),
        system.emails().len() as f64,
    ]
}

#[tokio::test]
async fn bad_input_gets_a_problem_document_and_reaches_no_payment() {
    let system = System::with(&[("GATEWAY_BODY_DEADLINE", "500ms"), ("GATEWAY_RATE_LIMIT", "0")]).await;
    let gateway = system.stack.layout().gateway;
    assert_eq!(downstream(&system).await, [0.0; 5]);
    let cases: Vec<Case> =
        [json::cases(), fields::cases(), headers::cases(), routing::cases(), framing::cases()]
            .into_iter()
            .flatten()
            .collect();
    assert!(cases.len() >= 80, "{} cases", cases.len());
    for case in &cases {
        let mut connection = Connection::to(gateway).await;
        connection.send(&case.request).await;
        case.check(&connection.answer().await);
        if case.closes {
            assert_eq!(connection.closed().await, "", "{}: more than one answer", case.name);
        } else {
            connection.send(&request("GET /openapi.json", "", b"")).await;
            assert_eq!(connection.answer().await.status, 200, "after {}", case.name);
        }
    }
    assert_eq!(downstream(&system).await, [0.0; 5], "a bad request got through");

    let placed = system.place().await;
    system.email(&placed.id).await;
    assert_eq!(downstream(&system).await, [1.0, 1.0, 0.0, 1.0, 1.0], "a good order gets through");
}

#[tokio::test]
async fn a_thousand_bad_requests_make_no_new_series_and_few_lines() {
    let system = System::with(&[("GATEWAY_RATE_LIMIT", "0")]).await;
    let pair = |index: usize| {
        let agent = format!("user-agent: agent-{index}\r\n");
        let nowhere = request(&format!("GET /nowhere-{index}?q={index}"), &agent, b"");
        let unknown = request(&format!("BREW{index} /create-order"), &agent, b"");
        [nowhere, unknown].concat()
    };
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    let (mut series, started) = (0, Instant::now());
    for index in 0..500 {
        // Answers keep the order of pipelined requests.
        if index % 50 == 0 {
            let batch: Vec<u8> = (index..index + 50).flat_map(pair).collect();
            connection.send(&batch).await;
        }
        for expected in [(404, "/problems/not-found"), (405, "/problems/method-not-allowed")] {
            let answer = connection.answer().await;
            assert_eq!((answer.status, answer.text("type")), expected, "{answer:?}");
        }
        if index == 0 {
            series = system.metrics(Gateway).await.len();
        }
    }
    let samples = system.metrics(Gateway).await;
    assert_eq!(samples.len(), series);
    let most = 51 + started.elapsed().as_secs() as usize;
    for status in ["404", "405"] {
        let counted = samples.sum("http_request_duration_seconds_count", &[("status", status)]);
        assert_eq!(counted, 500.0, "requests with {status}");
        let field = format!(r#""http.response.status_code":{status}"#);
        let lines = system.log("order-gateway").iter().filter(|line| line.contains(&field)).count();
        assert!((50..=most).contains(&lines), "{lines} lines of {status}; at most {most}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_allowed_ones() {
    let system = System::start().await;
    let Layout { gateway, payment, mailer, .. } = *system.stack.layout();
    for (address, line, allow) in [
        (gateway, "GET /create-order", "POST"),
        (gateway, "POST /orders/7", "GET, HEAD"),
        (payment, "GET /process-payment", "POST"),
        (payment, "POST /payments/7", "GET, HEAD"),
        (mailer, "POST /metrics", "GET, HEAD"),
    ] {
        let answer = ask(address, &request(line, "", b"")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{line}: {answer:?}");
        let (_, path) = line.split_once(' ').unwrap();
        let answer = ask(address, &request(&format!("OPTIONS {path}"), "", b"")).await;
        assert_eq!((answer.status, answer.header("allow")), (204, allow), "OPTIONS {path}: {answer:?}");
    }
}

#[tokio::test]
async fn head_is_answered_like_get_without_a_body() {
    let system = System::start().await;
    let id = system.place().await.id;
    // Until its event is published, the state of the order may change between the two answers.
    system.published(&id).await;
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    for path in
        ["/", "/openapi.json", "/payment-event.schema.json", &format!("/orders/{id}"), "/livez", "/orders/7"]
    {
        connection.send(&request(&format!("GET {path}"), "", b"")).await;
        let get = connection.answer().await;
        connection.send(&request(&format!("HEAD {path}"), "", b"")).await;
        let head = connection.answer_to_head().await;
        for name in ["content-type", "content-length"] {
            assert_eq!(get.header(name), head.header(name), "{name} of {path}");
        }
        assert_eq!(get.status, head.status, "{path}");
    }
}
