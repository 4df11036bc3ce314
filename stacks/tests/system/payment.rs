//! Payment's own API: it refuses requests without its token, and bad bodies with it.

use serde_json::{Value, json};
use stacks::local::layout::Component::{Mailer, Payment};

use crate::harness::{System, ask, request};

const JSON: &str = "content-type: application/json\r\n";
const VALIDATION: &str = "/problems/validation";
const MALFORMED: &str = "/problems/malformed-json";
const MEDIA_TYPE: &str = "/problems/unsupported-media-type";
const KEY: &str = "/problems/idempotency-key-invalid";

/// Checks that nothing was settled, published or sent.
async fn assert_untouched(system: &System) {
    let samples = system.metrics(Payment).await;
    assert_eq!(samples.sum("payment_processed_total", &[]), 0.0);
    assert_eq!(samples.get("outbox_pending"), 0.0);
    assert_eq!(samples.sum("messaging_published_total", &[]), 0.0);
    assert_eq!(system.metrics(Mailer).await.sum("messaging_received_total", &[]), 0.0);
    assert_eq!(system.emails(), Vec::<String>::new());
}

#[tokio::test]
async fn payment_refuses_every_request_without_its_token() {
    let system = System::start().await;
    let payment = system.stack.layout().payment;
    let token = system.payment_token();
    let good = format!("authorization: Bearer {token}\r\n");
    let bear = |value: &str| format!("authorization: {value}\r\n");
    let body = new_payment().to_string();
    for (name, authorization) in [
        ("no token", String::new()),
        ("a wrong token", bear(&format!("Bearer {}", "0".repeat(token.len())))),
        ("the token of another service", bear(&format!("Bearer {}", system.mailer_token()))),
        ("the beginning of the token", bear(&format!("Bearer {}", &token[..token.len() - 1]))),
        ("the token and one more character", bear(&format!("Bearer {token}0"))),
        ("the token twice", bear(&format!("Bearer {token}, Bearer {token}"))),
        ("the token in upper case", bear(&format!("Bearer {}", token.to_uppercase()))),
        ("the token in quotes", bear(&format!("Bearer \"{token}\""))),
        ("10 KiB of token", bear(&format!("Bearer {}", "0".repeat(10 * 1024)))),
        ("an empty token", bear("Bearer ")),
        ("an empty header", bear("")),
        ("the token without its scheme", bear(&token)),
        ("another scheme", bear(&format!("Basic {token}"))),
        ("bytes that are no text", bear("Bearer \u{e4}\u{fc}")),
        ("a good token after a bad one", bear("Bearer 0") + &good),
        ("a bad token after a good one", good.clone() + &bear("Bearer 0")),
        ("the token in another header", format!("x-authorization: Bearer {token}\r\n")),
        ("headers of a proxy", "x-forwarded-for: 127.0.0.1\r\nx-real-ip: 127.0.0.1\r\n".to_owned()),
    ] {
        let headers = format!("{JSON}idempotency-key: k\r\n{authorization}");
        for line in ["POST /process-payment", "GET /payments/01890000-0000-7000-8000-000000000001"] {
            let answer = ask(payment, &request(line, &headers, body.as_bytes())).await;
            answer.assert_problem(401, "/problems/unauthorized", &format!("{name}: {line}"));
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{name}");
            // The same for a wrong token as for none: the answer does not tell how close a guess is.
            assert_eq!(answer.text("detail"), "A valid bearer token is needed.", "{name}");
        }
    }
    let headers = format!("{JSON}idempotency-key: k\r\n");
    let in_query = format!("POST /process-payment?access_token={token}");
    ask(payment, &request(&in_query, &headers, body.as_bytes())).await.assert_problem(
        401,
        "/problems/unauthorized",
        "the token in the query",
    );
    assert_untouched(&system).await;
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

/// A valid payment with another value in one field.
fn with(pointer: &str, value: Value) -> Vec<u8> {
    let mut body = new_payment();
    *body.pointer_mut(pointer).unwrap() = value;
    body.to_string().into_bytes()
}

fn without(field: &str) -> Vec<u8> {
    let mut body = new_payment();
    body.as_object_mut().unwrap().remove(field);
    body.to_string().into_bytes()
}

#[tokio::test]
async fn payment_answers_bad_bodies_with_problems_of_its_own() {
    let system = System::start().await;
    let payment = system.stack.layout().payment;
    let token = format!("authorization: Bearer {}\r\n", system.payment_token());
    let keyed = format!("{token}{JSON}idempotency-key: k\r\n");
    let untyped = format!("{token}idempotency-key: k\r\n");
    let unkeyed = format!("{token}{JSON}");
    let key = |key: &str| format!("{unkeyed}idempotency-key: {key}\r\n");
    let valid = new_payment().to_string().into_bytes();
    let large = [valid.as_slice(), &[b' '; 128 * 1024]].concat();
    let twice = String::from_utf8(valid.clone()).unwrap().replacen('{', "{\"amount\":\"1.00\",", 1);
    let by_position =
        json!(["01890000-0000-7000-8000-000000000001", ["ada@example.org"], [], "1.00", "USD"]).to_string();
    let line = "POST /process-payment";
    for (name, headers, body, status, kind, pointers) in [
        ("no body", &keyed, vec![], 400, MALFORMED, &[][..]),
        ("no JSON", &keyed, b"{".to_vec(), 400, MALFORMED, &[]),
        ("not UTF-8", &keyed, b"{\"orderId\":\"\xff\"}".to_vec(), 400, MALFORMED, &[]),
        ("nested without end", &keyed, b"{\"a\":".repeat(12_000), 400, MALFORMED, &[]),
        ("two documents", &keyed, valid.repeat(2), 400, MALFORMED, &[]),
        ("null", &keyed, b"null".to_vec(), 422, VALIDATION, &[""]),
        ("an array", &keyed, by_position.into_bytes(), 422, VALIDATION, &[""]),
        ("a name twice", &keyed, twice.into_bytes(), 422, VALIDATION, &[""]),
        ("no content type", &untyped, valid.clone(), 415, MEDIA_TYPE, &[]),
        ("too large", &keyed, large, 413, "/problems/too-large", &[]),
        ("no order", &keyed, without("orderId"), 422, VALIDATION, &[""]),
        ("no customer", &keyed, without("customer"), 422, VALIDATION, &[""]),
        ("no items", &keyed, without("items"), 422, VALIDATION, &[""]),
        ("no currency", &keyed, without("currency"), 422, VALIDATION, &[""]),
        ("an order that is no UUID", &keyed, with("/orderId", json!("7")), 422, VALIDATION, &[""]),
        ("an unknown currency", &keyed, with("/currency", json!("XXX")), 422, VALIDATION, &[""]),
        ("half a piece", &keyed, with("/items/0/quantity", json!(0.5)), 422, VALIDATION, &[""]),
        ("an amount that is a number", &keyed, with("/amount", json!(49.99)), 422, VALIDATION, &[""]),
        ("a negative amount", &keyed, with("/amount", json!("-1")), 422, VALIDATION, &["/amount"]),
        ("no amount", &keyed, with("/amount", json!("0.00")), 422, VALIDATION, &["/amount"]),
        ("an amount that is no number", &keyed, with("/amount", json!("NaN")), 422, VALIDATION, &["/amount"]),
        // The mailer cannot send to these addresses, so the order must not be paid.
        (
            "two recipients",
            &keyed,
            with("/customer/email", json!("ada@example.org\r\nBcc: eve@example.org")),
            422,
            VALIDATION,
            &["/customer/email"],
        ),
        (
            "no address",
            &keyed,
            with("/customer/email", json!("no-address")),
            422,
            VALIDATION,
            &["/customer/email"],
        ),
        ("an empty order", &keyed, with("/items", json!([])), 422, VALIDATION, &["/items"]),
        ("a line in a sku", &keyed, with("/items/0/sku", json!("A\nB")), 422, VALIDATION, &["/items/0/sku"]),
        (
            "a quantity of zero",
            &keyed,
            with("/items/0/quantity", json!(0)),
            422,
            VALIDATION,
            &["/items/0/quantity"],
        ),
        (
            "no price",
            &keyed,
            with("/items/0/unitPrice", json!("free")),
            422,
            VALIDATION,
            &["/items/0/unitPrice"],
        ),
        ("no key", &unkeyed, valid.clone(), 400, KEY, &[]),
        ("an empty key", &key(""), valid.clone(), 400, KEY, &[]),
        ("a long key", &key(&"k".repeat(256)), valid.clone(), 400, KEY, &[]),
        ("a key that is not ASCII", &key("schlüssel"), valid.clone(), 400, KEY, &[]),
        ("two keys", &key("a\r\nidempotency-key: b"), valid.clone(), 400, KEY, &[]),
    ] {
        let answer = ask(payment, &request(line, headers, &body)).await;
        answer.assert_problem(status, kind, name);
        assert_eq!(answer.pointers(), pointers, "{name}: {answer:?}");
        assert!(!answer.body.to_string().contains("@example.org"), "{name} quotes the address: {answer:?}");
    }
    assert_untouched(&system).await;

    // The contract grows by additions: payment accepts fields of a newer gateway.
    let mut newer = new_payment();
    newer["note"] = json!("hi");
    let answer = ask(payment, &request(line, &keyed, newer.to_string().as_bytes())).await;
    assert_eq!((answer.status, answer.text("outcome")), (200, "succeeded"), "{answer:?}");
}
