//! The header Idempotency-Key: a repeated order gets the same answer, one payment and one e-mail; another order with the
//! same key is refused.

use stacks::local::layout::Component::{Gateway, Mailer, Payment};

use crate::harness::{Answer, System, books};

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
    assert_ne!(first.trace(), second.trace(), "each request has a trace of its own");

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
async fn a_declined_order_with_the_same_key_is_not_tried_again() {
    let system = System::start().await;
    let mut expensive = books("ada@example.org");
    expensive["items"][0]["unitPrice"] = "6000.00".into();
    let key = [("idempotency-key", "too-much")];
    let first = system.place_with(&expensive, &key).await;
    let second = system.place_with(&expensive, &key).await;
    first.assert_problem(402, "/problems/payment-declined", "first");
    second.assert_problem(402, "/problems/payment-declined", "second");
    assert_eq!(first.text("detail"), second.text("detail"), "both answers are about one order");
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
    let last = system.place_with(&order, &[("idempotency-key", "impatient")]).await;
    let id = last.text("orderId");
    assert_eq!((last.status, last.header("idempotent-replayed")), (201, "true"), "{last:?}");
    for answer in &answers {
        // A request that arrives while the first is in flight gets 409.
        if answer.status == 409 {
            answer.assert_problem(409, "/problems/idempotency-in-progress", "at once");
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|s| s >= 1), "{answer:?}");
        } else {
            assert_eq!((answer.status, &answer.body), (201, &last.body), "{answer:?}");
        }
    }
    let is_first = |answer: &&Answer| answer.status == 201 && answer.header("idempotent-replayed").is_empty();
    assert_eq!(answers.iter().filter(is_first).count(), 1);

    system.email(id).await;
    assert_eq!(system.metrics(Payment).await.get(PAID), 1.0);
    assert_eq!(system.metrics(Gateway).await.get("orders_created_total"), 1.0);
    assert_eq!(system.emails(), [format!("{id}.eml")]);
}

#[tokio::test]
async fn a_key_belongs_to_the_client_that_sent_it() {
    let system = System::start().await;
    let place = async |client| {
        let headers = [("idempotency-key", "order-1"), ("authorization", client)];
        system.place_with(&books("ada@example.org"), &headers).await
    };
    let (ada, eve) = (place("Bearer ada").await, place("Bearer eve").await);
    assert_eq!((ada.status, eve.status), (201, 201), "{eve:?}");
    assert_ne!(ada.text("orderId"), eve.text("orderId"));
    assert_eq!(place("Bearer ada").await.text("orderId"), ada.text("orderId"));
    assert_eq!(system.metrics(Payment).await.get(PAID), 2.0);
}
