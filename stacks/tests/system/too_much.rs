//! Too much: the gateway says so, and when to come back, before it has done any work for it.

use std::time::Duration;

use stacks::local::layout::Component::{Gateway, Payment};
use tokio::{join, time::sleep};

use crate::harness::{Connection, System};

const PROCESSED: &str = "payment_processed_total";

#[tokio::test]
async fn a_client_that_asks_too_often_is_told_when_to_come_back() {
    let system = System::with(&[("GATEWAY_RATE_LIMIT", "1")]).await;
    system.place().await;
    let mut refused = None;
    // The first second may end in between, but not with every request.
    for _ in 0..5 {
        refused = Some(system.post(&[], None).await).filter(|answer| answer.status != 201);
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("five requests in a row were all let through");
    refused.assert_problem(429, "/problems/rate-limited", "one each second");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|s| s >= 1), "{refused:?}");
    assert_eq!(system.get(Gateway, "/livez").await.status, 200, "probes pass");
    let samples = (system.metrics(Gateway).await, system.metrics(Payment).await);
    let placed = samples.0.get("orders_created_total");
    assert_eq!(samples.1.sum(PROCESSED, &[]), placed, "a refused request reached payment");
}

#[tokio::test]
async fn more_than_can_be_in_flight_is_refused_until_there_is_room() {
    let system = System::with(&[("GATEWAY_MAX_IN_FLIGHT", "1")]).await;
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    let head = "POST /create-order HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2\r\n";
    connection.begin(head).await;

    let refused = system.post(&[], None).await;
    refused.assert_problem(503, "/problems/unavailable", "one at a time");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(system.metrics(Payment).await.sum(PROCESSED, &[]), 0.0);

    connection.send(b"{}").await;
    assert_eq!(connection.answer().await.status, 422);
    system.place().await;
}

#[tokio::test]
async fn a_body_that_does_not_end_is_given_up() {
    let system = System::with(&[("GATEWAY_BODY_DEADLINE", "300ms")]).await;
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    let head = "POST /create-order HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100\r\n";
    connection.begin(head).await;
    let answer = connection.answer().await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (408, "application/problem+json"),
        "{answer:?}"
    );
    assert_eq!(answer.text("traceId"), answer.trace());
    assert_eq!(system.metrics(Payment).await.sum(PROCESSED, &[]), 0.0);
}

/// A request that is answered at once and leaves the connection open.
const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
const ORDER_HEAD: &[u8] = b"POST /create-order HTTP/1.1\r\nhost: localhost\r\n\
    content-type: application/json\r\ncontent-length: 1000\r\n\r\n";
/// Of those who send a little now and then.
const DRIBBLE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_connection_that_is_held_on_to_is_cut_off_and_others_are_served_meanwhile() {
    let system = System::with(&[("GATEWAY_BODY_DEADLINE", "10s")]).await;
    let gateway = system.stack.layout().gateway;
    let payment = system.stack.layout().payment;
    let connect = async || Connection::to(gateway).await;
    let used = async || {
        let mut connection = connect().await;
        connection.send(LIVEZ).await;
        assert_eq!(connection.answer().await.status, 200);
        connection
    };
    let first_head = async {
        let mut connection = connect().await;
        connection.send(b"GET /livez HTTP/1.1\r\nhost:").await;
        assert!(connection.closed().await.starts_with("HTTP/1.1 408 "));
    };
    let second_head = async {
        let mut connection = used().await;
        connection.send(b"GET /livez HTTP/1.1\r\nhost:").await;
        assert_eq!(connection.closed().await, "");
    };
    let dribbled_head = async {
        let mut connection = used().await;
        connection.send(b"GET /livez HTTP/1.1\r\nx-head: ").await;
        connection.flood(b"a", DRIBBLE).await;
    };
    let dribbled_body = async {
        let mut connection = connect().await;
        connection.send(ORDER_HEAD).await;
        connection.flood(b" ", DRIBBLE).await;
        assert!(connection.closed().await.starts_with("HTTP/1.1 408 "));
    };
    let silent_body = async {
        let mut connection = connect().await;
        connection.begin("POST /create-order HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n").await;
        assert!(connection.closed().await.starts_with("HTTP/1.1 408 "));
    };
    let silent_body_to_payment = async {
        let mut connection = Connection::to(payment).await;
        let token = system.payment_token();
        let head = format!(
            "POST /process-payment HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             idempotency-key: k\r\ncontent-type: application/json\r\ncontent-length: 9\r\n"
        );
        connection.begin(&head).await;
        assert!(connection.closed().await.starts_with("HTTP/1.1 408 "));
    };
    let deaf = async {
        let metrics = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
        connect().await.flood(&metrics.repeat(100), Duration::ZERO).await;
    };
    let honest = async {
        for _ in 0..20 {
            system.place().await;
            sleep(DRIBBLE).await;
        }
    };
    join!(
        first_head,
        second_head,
        dribbled_head,
        dribbled_body,
        silent_body,
        silent_body_to_payment,
        deaf,
        honest
    );
}

#[tokio::test]
async fn an_expectation_that_nobody_knows_is_refused() {
    let system = System::start().await;
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    let head =
        "POST /create-order HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nexpect: a-miracle\r\n\r\n";
    connection.send(head.as_bytes()).await;
    connection.answer().await.assert_problem(417, "/problems/expectation-failed", "a miracle");
}
