//! Overload: the gateway refuses with 429 or 503 and `Retry-After` before it does any work.

use std::{net::Ipv4Addr, time::Duration};

use stacks::local::layout::Component::{Gateway, Payment};
use tokio::{join, time::sleep};

use crate::harness::{Connection, System};

const PROCESSED: &str = "payment_processed_total";
/// The head of a request whose body has two bytes, without its last line.
const EMPTY_OBJECT: &str = "POST /create-order HTTP/1.1\r\nhost: localhost\r\n\
    content-type: application/json\r\ncontent-length: 2\r\n";
/// A second loopback address: the gateway takes its connections for another client.
const SLOW_CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test]
async fn a_client_over_its_rate_gets_429_with_retry_after() {
    let system = System::with(&[("GATEWAY_RATE_LIMIT", "1")]).await;
    system.place().await;
    let mut refused = None;
    // The second of the limit may end between two requests, but not between all five.
    for _ in 0..5 {
        refused = Some(system.post(&[], None).await).filter(|answer| answer.status != 201);
        if refused.is_some() {
            break;
        }
    }
    let refused = refused.expect("five requests in a row were accepted");
    refused.assert_problem(429, "/problems/rate-limited", "one request a second");
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|s| s >= 1), "{refused:?}");
    assert_eq!(system.get(Gateway, "/livez").await.status, 200, "the limit applies to probes");
    let samples = (system.metrics(Gateway).await, system.metrics(Payment).await);
    let placed = samples.0.get("orders_created_total");
    assert_eq!(samples.1.sum(PROCESSED, &[]), placed, "a refused request reached payment");
}

#[tokio::test]
async fn requests_over_the_limit_in_flight_get_503() {
    let system = System::with(&[("GATEWAY_MAX_IN_FLIGHT", "1")]).await;
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    connection.begin(EMPTY_OBJECT).await;

    let refused = system.post(&[], None).await;
    refused.assert_problem(503, "/problems/unavailable", "one request in flight");
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(system.metrics(Payment).await.sum(PROCESSED, &[]), 0.0);

    connection.send(b"{}").await;
    assert_eq!(connection.answer().await.status, 422);
    system.place().await;
}

#[tokio::test]
async fn a_client_with_slow_bodies_has_its_share_alone() {
    let system = System::with(&[("GATEWAY_MAX_IN_FLIGHT", "8"), ("GATEWAY_CLIENT_SHARE", "25")]).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::from(SLOW_CLIENT, system.stack.layout().gateway).await;
        connection.begin(EMPTY_OBJECT).await;
        held.push(connection);
    }
    let mut beyond = Connection::from(SLOW_CLIENT, system.stack.layout().gateway).await;
    beyond.send(format!("{EMPTY_OBJECT}\r\n").as_bytes()).await;
    beyond.answer().await.assert_problem(429, "/problems/rate-limited", "a body beyond the share");

    for _ in 0..10 {
        system.place().await;
    }
    for connection in &mut held {
        connection.send(b"{}").await;
        assert_eq!(connection.answer().await.status, 422);
    }
}

#[tokio::test]
async fn a_body_without_end_gets_408() {
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

/// A request that keeps its connection open after the answer.
const LIVEZ: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
const ORDER_HEAD: &[u8] = b"POST /create-order HTTP/1.1\r\nhost: localhost\r\n\
    content-type: application/json\r\ncontent-length: 1000\r\n\r\n";
/// The pause between two bytes of a slow client.
const DRIBBLE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn a_held_connection_is_closed_and_delays_no_other_client() {
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
    let never_reads = async {
        let metrics = b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n";
        connect().await.flood(&metrics.repeat(100), Duration::ZERO).await;
    };
    let ordinary = async {
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
        never_reads,
        ordinary
    );
}

#[tokio::test]
async fn a_connection_takes_one_descriptor() {
    const CONNECTIONS: usize = 100;
    let system = System::start().await;
    let gateway = system.stack.process(Gateway).unwrap().pid;
    let descriptors = || std::fs::read_dir(format!("/proc/{gateway}/fd")).unwrap().count();
    let before = descriptors();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::to(system.stack.layout().gateway).await;
        connection.send(LIVEZ).await;
        assert_eq!(connection.answer().await.status, 200);
        connections.push(connection);
    }
    let taken = descriptors() - before;
    // Log and spool files come and go.
    assert!(taken < CONNECTIONS + 20, "{taken} descriptors for {CONNECTIONS} connections");
}

#[tokio::test]
async fn an_unknown_expectation_is_refused() {
    let system = System::start().await;
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    let head =
        "POST /create-order HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\nexpect: a-surprise\r\n\r\n";
    connection.send(head.as_bytes()).await;
    connection.answer().await.assert_problem(417, "/problems/expectation-failed", "an unknown expectation");
}
