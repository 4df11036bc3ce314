//! The stop of a service: it finishes requests in flight, exports its spans, and exits with code 0. Past its deadline it
//! exits with code 3.

use std::time::{Duration, Instant};

use serde_json::json;
use stacks::{
    local::layout::Component::{self, Gateway, Mailer, Payment, Traces},
    process::{Signal, Stopped},
    trace::ORDER,
};
use testkit::wait::eventually;

use crate::harness::{Connection, SETTLE, System, ask, books, request};

const SIGNALS: [Signal; 3] = [Signal::TERM, Signal::INT, Signal::HUP];
/// The next batch of spans is so late that only a flush exports them in time.
const LATE_BATCHES: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "600000");

impl System {
    /// Signals a service to stop, and waits until it refuses connections.
    async fn ask_to_stop(&self, service: Component, signal: Signal) {
        self.stack.process(service).expect("the service runs").signal(signal);
        let address = self.stack.layout().listens(service)[0].0;
        eventually(&format!("{service} to close {address}"), async || {
            tokio::net::TcpStream::connect(address).await.is_err()
        })
        .await;
    }

    /// Waits until a stopping service has exited with code 0.
    async fn stopped(&mut self, service: Component) {
        self.ended(service, 0).await;
    }

    /// Waits until a stopping service has exited with this code.
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
async fn a_stopping_gateway_answers_requests_in_flight() {
    for signal in SIGNALS {
        let mut system = System::with(&[LATE_BATCHES]).await;
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
async fn a_stopping_payment_settles_and_publishes_requests_in_flight() {
    for signal in SIGNALS {
        let mut system = System::with(&[LATE_BATCHES]).await;
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
async fn a_stopping_mailer_sends_the_emails_it_has_begun() {
    for signal in SIGNALS {
        let mut system = System::with(&[LATE_BATCHES, ("MAIL_LATENCY", "1s")]).await;
        let order = system.place().await;
        system.reaches(Mailer, "messaging_received_total{outcome=\"accepted\"}", 1.0).await;
        system.ask_to_stop(Mailer, signal).await;
        system.stopped(Mailer).await;
        assert_eq!(system.emails(), [format!("{}.eml", order.id)], "{signal:?}");
        system.trace_with(&order.trace, &ORDER[4..]).await;
    }
}

#[tokio::test]
async fn a_service_serves_on_for_its_drain_delay_but_not_ready() {
    let mut system = System::with(&[("SHUTDOWN_DRAIN_DELAY", "3s")]).await;
    let gateway = system.stack.layout().gateway;
    system.stack.process(Gateway).expect("the gateway runs").signal(Signal::TERM);
    let begun = Instant::now();
    let answer = eventually("the gateway to be not ready", async || {
        let answer = ask(gateway, &request("GET /readyz", "", b"")).await;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(answer.text("status"), "stopping");
    system.place().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "the delay was over: {:?}", begun.elapsed());
    system.stopped(Gateway).await;
    assert!(begun.elapsed() >= Duration::from_secs(3), "the delay was cut: {:?}", begun.elapsed());
}

#[tokio::test]
async fn an_idle_connection_does_not_delay_a_stop() {
    let mut system = System::start().await;
    let mut idle = Connection::to(system.stack.layout().gateway).await;
    idle.send(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    let begun = Instant::now();
    system.ask_to_stop(Gateway, Signal::TERM).await;
    system.stopped(Gateway).await;
    assert!(begun.elapsed().as_secs() < 10, "the stop took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stop_past_its_one_deadline_exits_with_code_3() {
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
        assert!(took >= Duration::from_secs(2), "{service} did not wait for the request in flight: {took:?}");
        assert!(took < Duration::from_secs(5), "{service} used more than one deadline: {took:?}");
    }
    let logged = |service, text: &str| system.log(service).iter().any(|line| line.contains(text));
    for service in ["order-gateway", "payment-service"] {
        assert!(logged(service, "requests were still in flight"), "{service}: {:?}", system.log(service));
        assert!(logged(service, "items not delivered in time"), "{service}: {:?}", system.log(service));
    }
    assert!(
        logged("payment-service", "events are left in the outbox"),
        "{:?}",
        system.log("payment-service")
    );
}

#[tokio::test]
async fn a_second_signal_ends_a_stop_at_once() {
    let mut system = System::with(&[("SHUTDOWN_DEADLINE", "5m"), ("GATEWAY_BODY_DEADLINE", "5m")]).await;
    let mut connection = Connection::to(system.stack.layout().gateway).await;
    connection.begin("POST /create-order HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n").await;
    system.ask_to_stop(Gateway, Signal::INT).await;
    system.stack.process(Gateway).expect("the gateway waits for the request in flight").signal(Signal::INT);
    system.ended(Gateway, 3).await;
    let lines = system.log("order-gateway");
    assert!(lines.iter().any(|line| line.contains("requests were still in flight")), "{lines:?}");
}
