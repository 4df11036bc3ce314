//! An order from the client's side: the answer, the state of the order, and the e-mail.

use serde_json::json;
use stacks::local::layout::Component::{Gateway, Mailer, Payment};

use crate::harness::{Answer, Placed, System, books};

fn assert_placed(answer: &Answer) {
    assert_eq!(answer.status, 201, "{answer:?}");
    let placed = Placed::from(answer);
    let expected = json!({
        "message": "Order Placed!",
        "orderId": placed.id,
        "traceId": placed.trace,
        "paymentDetails": {"status": "success", "message": "Payment processed successfully"},
    });
    assert_eq!(answer.body, expected);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("location"), format!("/orders/{}", placed.id));
    assert_eq!(answer.trace(), placed.trace);
    assert_eq!(placed.id.len(), 36, "{} is no UUID", placed.id);
}

#[tokio::test]
async fn an_order_without_a_body_is_the_sample_order() {
    let system = System::start().await;
    let answer = system.post(&[], None).await;
    assert_placed(&answer);

    let order = Placed::from(&answer);
    let mut state = system.published(&order.id).await;
    let created = state.as_object_mut().unwrap().remove("createdAt").unwrap();
    assert!(created.as_str().unwrap().ends_with('Z'), "{created} is no UTC time");
    let expected = json!({
        "orderId": order.id,
        "traceId": order.trace,
        "status": "paid",
        "reason": null,
        "amount": "99.99",
        "currency": "USD",
        "event": "published",
    });
    assert_eq!(state, expected);
}

#[tokio::test]
async fn an_order_with_a_body_is_charged_for_its_items() {
    let system = System::start().await;
    let answer = system.place_with(&books("ada@example.org"), &[]).await;
    assert_placed(&answer);
    let order = Placed::from(&answer);
    let state = system.published(&order.id).await;
    assert_eq!(
        (&state["status"], &state["amount"], &state["currency"]),
        (&json!("paid"), &json!("100.00"), &json!("USD"))
    );

    let mut yen = books("ada@example.org");
    yen["currency"] = json!("JPY");
    yen["items"] = json!([{"sku": "BOOK-1", "quantity": 3, "unitPrice": "500"}]);
    let answer = system.place_with(&yen, &[]).await;
    assert_placed(&answer);
    let state = system.order(answer.text("orderId")).await;
    assert_eq!((state.text("amount"), state.text("currency")), ("1500", "JPY"));
}

#[tokio::test]
async fn a_paid_order_becomes_one_email() {
    let system = System::start().await;
    let order = Placed::from(&system.place_with(&books("ada@example.org"), &[]).await);
    let email = system.email(&order.id).await;
    let (head, body) = email.split_once("\r\n\r\n").expect("a blank line between head and body");
    assert!(!email.replace("\r\n", "").contains(['\r', '\n']), "a line end is no CR LF: {email:?}");

    let headers: Vec<(&str, &str)> = head.split("\r\n").map(|line| line.split_once(": ").unwrap()).collect();
    let only = |name: &str| {
        let found: Vec<&str> =
            headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| *v).collect();
        assert_eq!(found.len(), 1, "{name} in {head}");
        found[0]
    };
    assert_eq!(only("To"), "ada@example.org");
    assert!(only("From").contains("<checkout@omnitrace.example>"));
    assert_eq!(only("Subject"), "Your order is on its way");
    assert!(only("Message-ID").starts_with('<') && only("Message-ID").ends_with("@omnitrace.example>"));
    assert!(only("Date").ends_with("+0000"));
    assert_eq!(only("MIME-Version"), "1.0");
    assert_eq!(only("Content-Type"), "text/plain; charset=utf-8");
    for part in ["100.00 USD", order.id.as_str(), "2 x BOOK-1 at 49.99 USD", "1 x PEN at 0.02 USD"] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    assert_eq!(system.emails(), [format!("{}.eml", order.id)]);
}

#[tokio::test]
async fn a_declined_payment_is_answered_402_and_charges_nothing() {
    let system = System::start().await;
    let series =
        ["payment_processed_total{outcome=\"declined\"}", "payment_processed_total{outcome=\"succeeded\"}"];
    let before = (system.metrics(Gateway).await, system.metrics(Payment).await);
    let mut expensive = books("ada@example.org");
    expensive["items"][0]["unitPrice"] = json!("5000.00");

    let answer = system.place_with(&expensive, &[]).await;
    answer.assert_problem(402, "/problems/payment-declined", "10000.02 USD");
    let id = answer.text("detail").trim_end_matches('.').rsplit(' ').next().unwrap().to_owned();
    assert!(answer.text("detail").contains("over the limit"), "{answer:?}");

    let state = system.published(&id).await;
    assert_eq!((&state["status"], &state["amount"]), (&json!("declined"), &json!("10000.02")));
    assert_eq!(state["reason"], "The amount is over the limit of the account.");
    assert_eq!(state["traceId"], answer.trace());

    let email = system.email(&id).await;
    assert!(email.contains("Subject: Your payment was declined"), "{email}");
    let grown = system.metrics(Payment).await.growth(&before.1, &series);
    assert_eq!(grown.values().collect::<Vec<_>>(), [&1.0, &0.0], "{grown:?}");
    let grown = system.metrics(Gateway).await.growth(&before.0, &["orders_created_total"]);
    assert_eq!(grown["orders_created_total"], 0.0);
}

#[tokio::test]
async fn an_unknown_order_is_not_found() {
    let system = System::start().await;
    for id in ["01890000-0000-7000-8000-000000000001", "7", "%00", "..%2f..%2fetc%2fpasswd"] {
        let answer = system.order(id).await;
        answer.assert_problem(404, "/problems/not-found", id);
    }
}
