//! The same Idempotency-Key: the same answer, one payment, one e-mail. With another order: refused.

use stacks::local::layout::Component::{Gateway, Mailer, Payment};

use crate::harness::{System, books};

const PAID: &str = "payment_processed_total{outcome=\"succeeded\"}";

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_one_payment() {
    let system = System::start().await;
    let key = [("idempotency-key", "order-of-ada-1")];
    let first = system.place_with(&books("ada@example.org"), &key).await;
    let second = system.place_with(&books("ada@example.org"), &key).await;
    assert_eq!((first.status, second.status), (201, 201), "{second:?}");
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("location"), second.header("location"));
    assert_eq!((first.header("idempotent-replayed"), second.header("idempotent-replayed")), ("", "true"));
    assert_ne!(first.trace(), second.trace(), "the repetition is a request of its own");

    system.email(first.text("orderId")).await;
    assert_eq!(system.metrics(Payment).await.get(PAID), 1.0);
    assert_eq!(system.metrics(Gateway).await.get("orders_created_total"), 1.0);
    assert_eq!(system.metrics(Mailer).await.get("messaging_received_total{outcome=\"accepted\"}"), 1.0);
    assert_eq!(system.emails(), [format!("{}.eml", first.text("orderId"))]);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_refused() {
    let system = System::start().await;
    let key = [("idempotency-key", "order-of-ada-1")];
    assert_eq!(system.place_with(&books("ada@example.org"), &key).await.status, 201);
    for other in [Some(books("eve@example.org")), None] {
        let answer = system.post(&key, other.as_ref()).await;
        answer.assert_problem(422, "/problems/idempotency-key-reused", "another body");
    }
    assert_eq!(system.metrics(Payment).await.get(PAID), 1.0);
    assert_eq!(system.metrics(Gateway).await.get("orders_created_total"), 1.0);
}

#[tokio::test]
async fn a_declined_order_is_declined_again_and_not_tried_again() {
    let system = System::start().await;
    let mut expensive = books("ada@example.org");
    expensive["items"][0]["unitPrice"] = "6000.00".into();
    let key = [("idempotency-key", "too-much")];
    let first = system.place_with(&expensive, &key).await;
    let second = system.place_with(&expensive, &key).await;
    first.assert_problem(402, "/problems/payment-declined", "first");
    second.assert_problem(402, "/problems/payment-declined", "second");
    assert_eq!(first.text("detail"), second.text("detail"), "it is about the same order");
    assert_eq!(system.metrics(Payment).await.get("payment_processed_total{outcome=\"declined\"}"), 1.0);
}

#[tokio::test]
async fn without_a_key_every_request_is_an_order() {
    let system = System::start().await;
    let (first, second) = (system.place().await, system.place().await);
    assert_ne!(first.id, second.id);
    assert_eq!(system.metrics(Payment).await.get(PAID), 2.0);
}

#[tokio::test]
async fn twenty_requests_at_once_with_one_key_are_one_payment() {
    let system = System::with(&[("PAYMENT_LATENCY", "200ms")]).await;
    let order = books("ada@example.org");
    let all = (0..20).map(|_| system.place_with(&order, &[("idempotency-key", "impatient")]));
    let answers = futures_util::future::join_all(all).await;
    let id = answers[0].text("orderId");
    for answer in &answers {
        assert_eq!((answer.status, answer.text("orderId")), (201, id), "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
    }
    let replayed = answers.iter().filter(|answer| answer.header("idempotent-replayed") == "true").count();
    assert_eq!(replayed, 19);

    system.email(id).await;
    assert_eq!(system.metrics(Payment).await.get(PAID), 1.0);
    assert_eq!(system.metrics(Gateway).await.get("orders_created_total"), 1.0);
    assert_eq!(system.emails(), [format!("{id}.eml")]);
}
