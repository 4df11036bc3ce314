//! How a service stops: what is in flight is finished, what is recorded leaves, and the exit code is 0. When that
//! takes too long, it stops all the same, and the exit code is 3.

use std::time::{Duration, Instant};

use serde_json::json;
use stacks::{
    local::layout::Component::{self, Gateway, Mailer, Payment, Traces},
    process::{Signal, Stopped},
    trace::ORDER,
};
use testkit::wait::eventually;

use crate::harness::{Connection, SETTLE, System, books};

const BOTH: [Signal; 2] = [Signal::TERM, Signal::INT];
/// Spans leave in batches, and here the next batch is so far away that only a flush can be why they arrive.
const HOARD: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "600000");

impl System {
    /// Asks a service to stop, and waits until it takes no more connections.
    async fn ask_to_stop(&self, service: Component, signal: Signal) {
        self.stack.process(service).expect("it runs").signal(signal);
        let address = self.stack.layout().listens(service)[0].0;
        eventually(&format!("{service} to close {address}"), async || {
            tokio::net::TcpStream::connect(address).await.is_err()
        })
        .await;
    }

    /// Waits until a service that was asked to stop has ended, well.
    async fn stopped(&mut self, service: Component) {
        self.ended(service, 0).await;
    }

    /// Waits until a service that was asked to stop has ended, with this exit code.
    async fn ended(&mut self, service: Component, code: i32) {
        eventually(&format!("the end of {service}"), async || {
            self.stack.process(service).map_or(Ok(()), |process| Err(format!("pid {} runs", process.pid)))
        })
        .await;
        let (stopped, status) = self.stack.stop(service).unwrap();
        assert_eq!(stopped, Stopped::Already);
        assert_eq!(status.unwrap().code(), Some(code), "the exit code of {service}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_asked_to_stop_answers_what_is_in_flight() {
    for signal in BOTH {
        let mut system = System::with(&[HOARD]).await;
        let body = books("ada@example.org").to_string();
        let head = format!(
            "POST /create-order HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        let mut connections = Vec::new();
        for _ in 0..5 {
            let mut connection = Connection::to(system.stack.layout().gateway).await;
            connection.begin(&head).await;
            connections.push(connection);
        }
        system.ask_to_stop(Gateway, signal).await;
        for connection in &mut connections {
            connection.send(body.as_bytes()).await;
        }
        let mut traces = Vec::new();
        for connection in &mut connections {
            let answer = connection.answer().await;
            assert_eq!(answer.status, 201, "{signal:?}: {answer:?}");
            traces.push(answer.text("traceId").to_owned());
        }
        system.stopped(Gateway).await;
        for trace in &traces {
            system.trace_with(trace, &ORDER[..2]).await;
        }
        let lines = system.log("order-gateway");
        assert_eq!(lines.iter().filter(|line| line.contains("\"order placed\"")).count(), 5, "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.contains("\"stopping\"")).count(), 1, "{lines:?}");
    }
}

#[tokio::test]
async fn a_payment_that_is_asked_to_stop_settles_and_publishes_what_is_in_flight() {
    for signal in BOTH {
        let mut system = System::with(&[HOARD]).await;
        let order = uuid::Uuid::now_v7().to_string();
        let mut payment = books("ada@example.org");
        payment["orderId"] = json!(order);
        payment["amount"] = json!("100.00");
        let body = payment.to_string();
        let head = format!(
            "POST /process-payment HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             idempotency-key: k\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            system.payment_token(),
            body.len()
        );
        let mut connection = Connection::to(system.stack.layout().payment).await;
        connection.begin(&head).await;
        system.ask_to_stop(Payment, signal).await;
        connection.send(body.as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, answer.text("outcome")), (200, "succeeded"), "{signal:?}: {answer:?}");
        let trace = answer.trace().to_owned();
        system.stopped(Payment).await;
        system.email(&order).await;
        system.trace_with(&trace, &[ORDER[2], SETTLE, ORDER[3]]).await;
    }
}

#[tokio::test]
async fn a_mailer_that_is_asked_to_stop_sends_what_it_has_begun() {
    for signal in BOTH {
        let mut system = System::with(&[HOARD, ("MAIL_LATENCY", "1s")]).await;
        let order = system.place().await;
        system.reaches(Mailer, "messaging_received_total{outcome=\"accepted\"}", 1.0).await;
        system.ask_to_stop(Mailer, signal).await;
        system.stopped(Mailer).await;
        assert_eq!(system.emails(), [format!("{}.eml", order.id)], "{signal:?}");
        system.trace_with(&order.trace, &ORDER[4..]).await;
    }
}

#[tokio::test]
async fn a_client_that_only_holds_its_connection_does_not_hold_up_a_stop() {
    let mut system = System::start().await;
    let mut idle = Connection::to(system.stack.layout().gateway).await;
    idle.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    let begun = Instant::now();
    system.ask_to_stop(Gateway, Signal::TERM).await;
    system.stopped(Gateway).await;
    assert!(begun.elapsed().as_secs() < 10, "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn one_deadline_counts_for_all_of_the_stop_and_the_exit_code_tells_what_was_not_finished() {
    let mut system = System::with(&[("SHUTDOWN_DEADLINE", "3s")]).await;
    system.vhost.remove().await;
    system.place().await;
    system.kill(Traces);
    let mut unfinished = Vec::new();
    for (service, address, head) in [
        (
            Gateway,
            system.stack.layout().gateway,
            "POST /create-order HTTP/1.1\r\nhost: localhost\r\n".to_owned(),
        ),
        (
            Payment,
            system.stack.layout().payment,
            format!(
                "POST /process-payment HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
                 idempotency-key: k\r\n",
                system.payment_token()
            ),
        ),
    ] {
        let mut connection = Connection::to(address).await;
        connection.begin(&format!("{head}content-length: 9\r\n")).await;
        unfinished.push(connection);
        let begun = Instant::now();
        system.ask_to_stop(service, Signal::TERM).await;
        system.ended(service, 3).await;
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(2), "{service} did not wait for what was in flight: {took:?}");
        assert!(took < Duration::from_secs(5), "{service} took one deadline after the other: {took:?}");
    }
    let said = |service, text: &str| system.log(service).iter().any(|line| line.contains(text));
    for service in ["order-gateway", "payment-service"] {
        assert!(said(service, "requests were still in flight"), "{service}: {:?}", system.log(service));
        assert!(said(service, "spans were not taken in time"), "{service}: {:?}", system.log(service));
    }
    assert!(said("payment-service", "events are left in the outbox"), "{:?}", system.log("payment-service"));
}

#[tokio::test]
async fn who_asks_a_second_time_does_not_wait() {
    let mut system = System::with(&[("SHUTDOWN_DEADLINE", "5m"), ("GATEWAY_BODY_DEADLINE", "5m")]).await;
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    connection.begin("POST /create-order HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n").await;
    system.ask_to_stop(Gateway, Signal::INT).await;
    system.stack.process(Gateway).expect("it waits for what is in flight").signal(Signal::INT);
    system.ended(Gateway, 3).await;
    let lines = system.log("order-gateway");
    assert!(lines.iter().any(|line| line.contains("requests were still in flight")), "{lines:?}");
}
