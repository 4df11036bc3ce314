//! An accepted order is not lost and not processed twice: through crashes of services, an outage of the broker, repeated
//! deliveries and unreadable messages.

use serde_json::json;
use stacks::{
    local::layout::Component::{Gateway, Mailer, Payment},
    trace::ORDER,
};
use testkit::{event::paid, wait::eventually};

use crate::harness::{Placed, SETTLE, System};

const SENT: &str = "emails_sent_total{outcome=\"sent\"}";
const ACCEPTED: &str = "messaging_received_total{outcome=\"accepted\"}";
const DUPLICATE: &str = "messaging_received_total{outcome=\"duplicate\"}";
const PARKED: &str = "messaging_received_total{outcome=\"parked\"}";

/// The file names of the e-mails about these orders.
fn files<'a>(orders: impl IntoIterator<Item = &'a Placed>) -> Vec<String> {
    let mut names: Vec<_> = orders.into_iter().map(|order| format!("{}.eml", order.id)).collect();
    names.sort();
    names
}

#[tokio::test]
async fn an_order_survives_a_payment_crash_in_a_broker_outage() {
    let mut system = System::start().await;
    system.vhost.remove().await;
    system.reaches(Payment, "broker_connected", 0.0).await;

    // The span of the first decision has left the process before the kill; that of the second may be lost.
    let early = system.place().await;
    let decided = system.trace_with(&early.trace, &[SETTLE]).await;
    let late = system.place().await;
    system.kill(Payment);
    assert_eq!(decided.find(ORDER[3]), None, "the event was published during the outage");

    system.vhost.restore().await;
    system.restart(Payment).await;
    for order in [&early, &late] {
        system.email(&order.id).await;
        assert_eq!(system.published(&order.id).await["status"], "paid");
    }
    let trace = system.trace(&early.trace).await;
    let producer = trace.find(ORDER[3]).unwrap();
    assert_eq!(
        producer.parent.as_ref(),
        Some(&decided.find(SETTLE).unwrap().id),
        "the producer has the stored context for its parent"
    );
    let trace = system.trace_with(&late.trace, &ORDER[3..]).await;
    assert!(
        trace.find(ORDER[3]).unwrap().parent.is_some(),
        "the producer has the stored context for its parent"
    );
    system.reaches(Mailer, SENT, 2.0).await;
    assert_eq!(system.emails(), files([&early, &late]));
}

#[tokio::test]
async fn a_broker_outage_stops_no_order() {
    let system = System::start().await;
    system.vhost.remove().await;
    system.reaches(Payment, "broker_connected", 0.0).await;
    system.reaches(Mailer, "broker_connected", 0.0).await;
    let ready = system.get(Payment, "/readyz").await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.body["checks"]["broker"].as_str().unwrap().starts_with("degraded"), "{ready:?}");
    assert_eq!(system.get(Mailer, "/readyz").await.status, 503);

    let orders = [system.place().await, system.place().await, system.place().await];
    assert_eq!(system.order(&orders[0].id).await.text("event"), "pending");
    system.reaches(Payment, "outbox_pending", 3.0).await;
    assert_eq!(system.emails(), Vec::<String>::new());

    system.vhost.restore().await;
    for order in &orders {
        system.email(&order.id).await;
        system.trace(&order.trace).await;
    }
    system.reaches(Payment, "outbox_pending", 0.0).await;
    system.reaches(Mailer, SENT, 3.0).await;
    assert_eq!(system.emails(), files(&orders));
}

#[tokio::test]
async fn orders_without_a_mailer_get_one_email_when_it_returns() {
    let mut system = System::start().await;
    system.kill(Mailer);
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(system.place().await);
    }
    assert_eq!(system.emails(), Vec::<String>::new());
    system.restart(Mailer).await;
    system.reaches(Mailer, SENT, 5.0).await;
    let samples = system.metrics(Mailer).await;
    assert_eq!((samples.get(ACCEPTED), samples.get(DUPLICATE)), (5.0, 0.0));
    assert_eq!(system.emails(), files(&orders));
    system.trace(&orders[0].trace).await;
}

#[tokio::test]
async fn a_mailer_that_crashes_while_sending_sends_once() {
    let mut system = System::with(&[("MAIL_LATENCY", "2s")]).await;
    let orders = [system.place().await, system.place().await];
    system.reaches(Mailer, ACCEPTED, 2.0).await;
    system.kill(Mailer);
    assert_eq!(system.emails(), Vec::<String>::new(), "an e-mail was sent before the kill");

    system.restart(Mailer).await;
    system.reaches(Mailer, "inbox_queued", 0.0).await;
    let samples = system.metrics(Mailer).await;
    assert_eq!(
        (samples.get(ACCEPTED), samples.get(DUPLICATE)),
        (0.0, 0.0),
        "an acknowledged event was delivered again"
    );
    assert_eq!((samples.get(SENT), system.emails()), (2.0, files(&orders)));
    let trace = system.trace_with(&orders[0].trace, &[ORDER[5]]).await;
    assert_eq!(trace.find(ORDER[5]).unwrap().attributes["email.attempt"], 2);
}

#[tokio::test]
async fn a_crash_of_the_gateway_loses_no_order() {
    let mut system = System::start().await;
    let order = system.place().await;
    system.kill(Gateway);
    system.restart(Gateway).await;
    let state = system.order(&order.id).await;
    assert_eq!((state.text("status"), state.text("traceId")), ("paid", order.trace.as_str()));
    system.email(&order.id).await;
}

#[tokio::test]
async fn a_repeated_request_gets_its_answer_after_a_restart() {
    let mut system = System::start().await;
    let key = [("idempotency-key", "patient")];
    let first = system.post(&key, None).await;
    system.kill(Payment);
    let down = system.post(&[], None).await;
    down.assert_problem(503, "/problems/unavailable", "without payment");
    assert_eq!(down.header("retry-after"), "1");
    system.restart(Payment).await;
    let second = system.post(&key, None).await;
    assert_eq!((second.status, second.header("idempotent-replayed")), (201, "true"), "{second:?}");
    assert_eq!(first.body, second.body);
    assert_eq!(
        system.metrics(Payment).await.sum("payment_processed_total", &[]),
        0.0,
        "the repetition was paid again"
    );
}

#[tokio::test]
async fn an_event_that_is_delivered_twice_becomes_one_email() {
    let system = System::start().await;
    let event = paid("ada@example.org");
    let (id, order) = (event["id"].as_str().unwrap(), event["data"]["orderId"].as_str().unwrap());
    for _ in 0..2 {
        system.vhost.publish("payment.succeeded", id, (&event.to_string(), "string")).await;
    }
    system.reaches(Mailer, DUPLICATE, 1.0).await;
    system.reaches(Mailer, SENT, 1.0).await;
    assert!(system.email(order).await.contains(&format!("Message-ID: <{id}@omnitrace.example>")));

    // A late repetition is a duplicate, too.
    system.vhost.publish("payment.succeeded", id, (&event.to_string(), "string")).await;
    system.reaches(Mailer, DUPLICATE, 2.0).await;
    system.reaches(Mailer, "inbox_queued", 0.0).await;
    let samples = system.metrics(Mailer).await;
    assert_eq!((samples.get(ACCEPTED), samples.get(SENT)), (1.0, 1.0));
    assert_eq!(system.emails(), [format!("{order}.eml")]);
}

#[tokio::test]
async fn an_unreadable_message_is_parked_and_delays_no_order() {
    let system = System::start().await;
    let unreadable = [
        ("no JSON at all", "string"),
        ("{\"specversion\":\"1.0\"}", "string"),
        ("/wB7IQ==", "base64"), // ff 00 7b 21
    ];
    for message in unreadable {
        system.vhost.publish("payment.succeeded", "", message).await;
    }
    // Headers and body each longer than the frame size that the mailer negotiates: a publisher negotiates its own.
    let (header, body) = ("h".repeat(60_000), "b".repeat(100_000));
    let headers = json!({"headers": {"long": header}});
    system.vhost.publish_with("payment.succeeded", headers, (&body, "string")).await;
    system.reaches(Mailer, PARKED, 4.0).await;
    let mut parked = Vec::new();
    eventually("four messages in mailer.parking", async || {
        parked.extend(system.vhost.take("mailer.parking").await);
        if parked.len() == 4 { Ok(()) } else { Err(format!("there are {parked:?}")) }
    })
    .await;
    parked.sort();
    let expected = unreadable.map(|(payload, encoding)| (payload.to_owned(), encoding.to_owned()));
    let mut expected = [&expected[..], &[(body, "string".to_owned())]].concat();
    expected.sort();
    assert_eq!(parked, expected);

    let order = system.place().await;
    system.email(&order.id).await;
    system.trace(&order.trace).await;
}
