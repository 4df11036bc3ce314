//! Payment's own door: closed to everyone without the token, and suspicious of those who have it.

use serde_json::{Value, json};
use stacks::local::layout::Component::Payment;

use crate::harness::{System, ask, request};

const JSON: &str = "content-type: application/json\r\n";
const VALIDATION: &str = "/problems/validation";

#[tokio::test]
async fn payment_lets_nobody_in_without_its_token() {
    let system = System::start().await;
    let payment = system.stack.layout().payment;
    let token = system.payment_token();
    let good = format!("{JSON}idempotency-key: k\r\nauthorization: ");
    let body = new_payment().to_string();
    for (name, authorization) in [
        ("no token", String::new()),
        ("a wrong token", format!("{good}Bearer {}\r\n", "0".repeat(token.len()))),
        ("the beginning of the token", format!("{good}Bearer {}\r\n", &token[..token.len() - 1])),
        ("an empty token", format!("{good}Bearer \r\n")),
        ("the token without its scheme", format!("{good}{token}\r\n")),
        ("another scheme", format!("{good}Basic {token}\r\n")),
    ] {
        for line in ["POST /process-payment", "GET /payments/01890000-0000-7000-8000-000000000001"] {
            let answer = ask(payment, &request(line, &authorization, body.as_bytes())).await;
            answer.assert_problem(401, "/problems/unauthorized", &format!("{name}: {line}"));
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{name}");
        }
    }
    assert_eq!(system.metrics(Payment).await.sum("payment_processed_total", &[]), 0.0);
}

fn new_payment() -> Value {
    json!({
        "orderId": "01890000-0000-7000-8000-000000000001",
        "customer": {"email": "ada@example.org"},
        "items": [{"sku": "BOOK-1", "quantity": 1, "unitPrice": "49.99"}],
        "amount": "49.99",
        "currency": "USD",
    })
}

#[tokio::test]
async fn payment_answers_bad_bodies_with_problems_of_its_own() {
    let system = System::start().await;
    let payment = system.stack.layout().payment;
    let token = format!("authorization: Bearer {}\r\n", system.payment_token());
    let keyed = format!("{token}{JSON}idempotency-key: k\r\n");
    let valid = new_payment().to_string();
    let with = |field: &str, value: &str| {
        let mut body = new_payment();
        body[field] = json!(value);
        body.to_string()
    };
    let untyped = format!("{token}idempotency-key: k\r\n");
    let unkeyed = format!("{token}{JSON}");
    let large = format!("{valid}{}", " ".repeat(128 * 1024));
    let line = "POST /process-payment";
    for (name, headers, body, status, kind, pointers) in [
        ("no JSON", &keyed, "{".to_owned(), 400, "/problems/malformed-json", &[][..]),
        ("no content type", &untyped, valid.clone(), 415, "/problems/unsupported-media-type", &[]),
        ("too large", &keyed, large, 413, "/problems/too-large", &[]),
        ("an order that is no UUID", &keyed, with("orderId", "7"), 422, VALIDATION, &[""]),
        ("an unknown currency", &keyed, with("currency", "XXX"), 422, VALIDATION, &[""]),
        ("a negative amount", &keyed, with("amount", "-1"), 422, VALIDATION, &["/amount"]),
        ("no key", &unkeyed, valid.clone(), 400, "/problems/idempotency-key-invalid", &[]),
    ] {
        let answer = ask(payment, &request(line, headers, body.as_bytes())).await;
        answer.assert_problem(status, kind, name);
        assert_eq!(answer.pointers(), pointers, "{name}: {answer:?}");
    }
    let samples = system.metrics(Payment).await;
    assert_eq!(samples.get("payment_processed_total{outcome=\"succeeded\"}"), 0.0);

    // The contract grows by additions: a newer gateway may say more than payment knows.
    let newer = with("note", "hi");
    let answer = ask(payment, &request(line, &keyed, newer.as_bytes())).await;
    assert_eq!((answer.status, answer.text("outcome")), (200, "succeeded"), "{answer:?}");
}
