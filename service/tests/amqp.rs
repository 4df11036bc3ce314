//! A supervised connection to a real broker: its link is replaced when it is lost, and its state is shown.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use serde_json::json;
use service::amqp::{Broker, BrokerError, Connection, Link};
use service::http::Check;
use slog::{Discard, Logger, o};
use telemetry::testing::Capture;
use testkit::rabbitmq::VirtualHost;
use testkit::wait::eventually;

const TOPOLOGY: &str = r#"{
    "exchanges": [{"name": "orders", "type": "topic", "durable": true, "arguments": {}}],
    "queues": [{"name": "orders", "durable": true,
        "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 2147483647}}],
    "bindings": [{"source": "orders", "destination": "orders", "routing_key": "order", "arguments": {}}]
}"#;
const NO_TOPOLOGY: &str = r#"{"exchanges": [], "queues": [], "bindings": []}"#;

fn open<T: Clone + 'static>(
    vhost: &VirtualHost,
    prepare: impl AsyncFn(&Link) -> Result<T, BrokerError> + 'static,
) -> Connection<T> {
    let broker = Broker::new(&vhost.amqp_url(), NO_TOPOLOGY).unwrap();
    Connection::open(Arc::new(broker), "test", prepare, &Logger::root(Discard, o!()))
}

/// A connection that declares a topology.
fn declare(vhost: &VirtualHost, log: &Logger) -> Connection<()> {
    let broker = Broker::new(&vhost.amqp_url(), TOPOLOGY).unwrap();
    Connection::open(Arc::new(broker), "test", async |_: &Link| Ok(()), log)
}

/// Waits until the check says so.
async fn until_check(connection: &Connection<()>, is_it: impl Fn(&Check) -> bool) -> Check {
    let check = connection.check(Check::Failed("down".to_owned()));
    eventually("another state of the connection", async || {
        let state = check();
        if is_it(&state) { Ok(state) } else { Err(format!("it is {state:?}")) }
    })
    .await
}

fn is_named(check: &Check, what: &str) -> bool {
    matches!(check, Check::Failed(reason) if reason.contains(what))
}

async fn until(gauge: &IntGauge, value: i64) {
    eventually(&format!("the gauge to be {value}"), async || {
        let now = gauge.get();
        if now == value { Ok(()) } else { Err(format!("it is {now}")) }
    })
    .await;
}

#[actix_rt::test]
async fn a_lost_link_is_replaced_once_the_broker_is_back() {
    let vhost = VirtualHost::create().await;
    let connection = open(&vhost, async |_| Ok(()));
    let gauge = IntGauge::new("connected", "test").unwrap();
    connection.show_in(gauge.clone());
    let check = connection.check(Check::Failed("down".to_owned()));
    until(&gauge, 1).await;
    assert_eq!(check(), Check::Ok);
    assert!(connection.link().await.is_some());

    vhost.remove().await;
    until(&gauge, 0).await;
    assert_eq!(check(), Check::Failed("down".to_owned()));

    vhost.restore().await;
    until(&gauge, 1).await;
    assert_eq!(check(), Check::Ok);

    connection.close().await;
    assert!(connection.link().await.is_none() && connection.next().await.is_none());
    until(&gauge, 0).await;
}

#[actix_rt::test]
async fn a_link_that_is_given_up_is_replaced_by_another() {
    let vhost = VirtualHost::create().await;
    let connection = open(&vhost, async |_| Ok(()));
    let (first, ()) = connection.next().await.unwrap();
    first.give_up();
    let next = tokio::time::timeout(Duration::from_secs(20), connection.next());
    let (second, ()) = next.await.unwrap().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    connection.close().await;
}

#[actix_rt::test]
async fn a_link_that_is_not_prepared_is_not_handed_out() {
    let vhost = VirtualHost::create().await;
    let attempts = Cell::new(0);
    let connection = open(&vhost, async move |_| {
        attempts.set(attempts.get() + 1);
        if attempts.get() == 1 { Err(BrokerError::Interrupted) } else { Ok(attempts.get()) }
    });
    assert!(connection.link().await.is_none());
    assert_eq!(connection.next().await.unwrap().1, 2);
    connection.close().await;
}

#[actix_rt::test]
async fn a_queue_with_other_arguments_is_named_until_it_is_deleted() {
    let (vhost, seen) = (VirtualHost::create().await, Capture::start());
    vhost.declare("queues", "orders", json!({"durable": true})).await;
    let connection = declare(&vhost, &seen.log());
    let state = until_check(&connection, |check| is_named(check, "the queue orders")).await;
    assert!(is_named(&state, "rabbitmqctl delete_queue"), "{state:?}");
    assert!(is_named(&state, "inequivalent arg 'x-"), "{state:?}");
    assert!(connection.link().await.is_none());
    // Attempts go on, and one line says why.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lines = seen.lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0]["error.message"].as_str().unwrap().contains("the queue orders"), "{lines:?}");

    vhost.delete_queue("orders").await;
    until_check(&connection, |check| *check == Check::Ok).await;
    connection.close().await;
}

#[actix_rt::test]
async fn an_exchange_of_another_type_is_named_until_it_is_deleted() {
    let (vhost, seen) = (VirtualHost::create().await, Capture::start());
    vhost.declare("exchanges", "orders", json!({"type": "fanout", "durable": true})).await;
    let connection = declare(&vhost, &seen.log());
    until_check(&connection, |check| is_named(check, "the exchange orders")).await;
    vhost.delete_exchange("orders").await;
    until_check(&connection, |check| *check == Check::Ok).await;
    connection.close().await;
}

#[actix_rt::test]
async fn a_queue_without_the_limit_of_ours_is_used_and_replaced_once_deleted() {
    let (vhost, seen) = (VirtualHost::create().await, Capture::start());
    let quorum = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}});
    vhost.declare("queues", "orders", quorum).await;
    let connection = declare(&vhost, &seen.log());
    let named = |check: &Check| matches!(check, Check::Degraded(reason) if reason.contains("while it is empty: rabbitmqctl delete_queue"));
    until_check(&connection, named).await;
    assert!(connection.link().await.is_some());
    assert!(vhost.arguments("orders").await["x-delivery-limit"].is_null());
    let said = seen
        .lines()
        .into_iter()
        .any(|line| line["message"] == "a queue of an earlier version is used as it is");
    assert!(said, "{:?}", seen.lines());

    vhost.delete_queue("orders").await;
    until_check(&connection, |check| *check == Check::Ok).await;
    assert_eq!(vhost.arguments("orders").await["x-delivery-limit"], 2_147_483_647);
    connection.close().await;
}

#[actix_rt::test]
async fn failed_attempts_to_connect_are_made_after_growing_pauses() {
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://user:password@{}/%2f", server.local_addr().unwrap());
    let broker = Arc::new(Broker::new(&url, NO_TOPOLOGY).unwrap());
    let connection = Connection::open(broker, "test", async |_: &Link| Ok(()), &Logger::root(Discard, o!()));
    let mut attempts = Vec::new();
    while attempts.len() < 4 {
        // Closed at once.
        drop(server.accept().await.unwrap());
        attempts.push(std::time::Instant::now());
    }
    let pauses: Vec<_> = attempts.windows(2).map(|two| two[1] - two[0]).collect();
    assert!(pauses[1] > pauses[0].mul_f64(1.4) && pauses[2] > pauses[1].mul_f64(1.4), "{pauses:?}");
    connection.close().await;
}
