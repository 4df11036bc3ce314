//! Orders as tables: valid ones, and the errors of others.

use serde_json::{Value, json};

use super::*;

fn valid() -> Value {
    json!({
        "customer": {"email": "ada@example.com"},
        "items": [{"sku": "BOOK-1", "quantity": 2, "unitPrice": "49.99"}],
        "currency": "USD",
    })
}

fn parse(value: &Value) -> Result<Order, Problem> {
    Order::parse(&serde_json::to_vec(value).unwrap())
}

#[test]
fn the_total_is_the_sum_of_the_items() {
    let mut value = valid();
    value["items"].as_array_mut().unwrap().push(json!({"sku": "PEN", "quantity": 1, "unitPrice": "0.02"}));
    assert_eq!(parse(&value).unwrap().total.to_string(), "100.00");
}

#[test]
fn the_sample_is_a_valid_order() {
    let sample = Order::parse(Order::SAMPLE).unwrap();
    assert_eq!((sample.total.to_string().as_str(), sample.total.currency()), ("99.99", Currency::Usd));
}

#[test]
fn a_wrong_field_is_named_with_its_code() {
    for (pointer, wrong, blamed, code) in [
        ("/customer", json!(null), "/customer", "type"),
        ("/customer", json!({}), "/customer/email", "missing"),
        ("/customer", json!({"email": "a@b.de", "name": "x"}), "/customer/name", "unknown"),
        ("/customer/email", json!("ada"), "/customer/email", "email"),
        ("/customer/email", json!("ada@localhost"), "/customer/email", "email"),
        ("/customer/email", json!("a@b@example.com"), "/customer/email", "email"),
        ("/customer/email", json!("Ada <ada@example.com>"), "/customer/email", "email"),
        ("/customer/email", json!("ada@example.com\r\nBcc: x@example.com"), "/customer/email", "email"),
        ("/customer/email", json!("ada@[127.0.0.1]"), "/customer/email", "email"),
        ("/customer/email", json!("\"a b\"@example.com"), "/customer/email", "email"),
        ("/customer/email", json!("ädä@example.com"), "/customer/email", "email"),
        ("/customer/email", json!(format!("{}@example.com", "a".repeat(65))), "/customer/email", "email"),
        ("/currency", json!("usd"), "/currency", "currency"),
        ("/currency", json!("XXX"), "/currency", "currency"),
        ("/currency", json!(840), "/currency", "type"),
        ("/items", json!([]), "/items", "length"),
        ("/items", json!({}), "/items", "type"),
        ("/items/0", json!(["BOOK-1", 1, "1.00"]), "/items/0", "type"),
        ("/items/0/sku", json!(""), "/items/0/sku", "sku"),
        ("/items/0/sku", json!("a\u{202e}b"), "/items/0/sku", "sku"),
        ("/items/0/quantity", json!(0), "/items/0/quantity", "range"),
        ("/items/0/quantity", json!(-1), "/items/0/quantity", "range"),
        ("/items/0/quantity", json!(1.0), "/items/0/quantity", "range"),
        ("/items/0/quantity", json!(4_294_967_296_u64), "/items/0/quantity", "range"),
        ("/items/0/quantity", json!("1"), "/items/0/quantity", "type"),
        ("/items/0/unitPrice", json!(49.99), "/items/0/unitPrice", "type"),
        ("/items/0/unitPrice", json!("-1.00"), "/items/0/unitPrice", "amount"),
        ("/items/0/unitPrice", json!("0.00"), "/items/0/unitPrice", "amount"),
        ("/items/0/unitPrice", json!("1.999"), "/items/0/unitPrice", "amount"),
        ("/items/0/unitPrice", json!("99999999999999999999"), "/items/0/unitPrice", "amount"),
        ("/items/0/unitPrice", json!("1000000.00"), "/items", "amount"),
        ("/total", json!("1.00"), "/total", "unknown"),
    ] {
        let mut value = valid();
        match value.pointer_mut(pointer) {
            Some(field) => *field = wrong.clone(),
            None => value[&pointer[1..]] = wrong.clone(),
        }
        let problem = parse(&value).expect_err(&format!("{pointer} = {wrong}"));
        assert_eq!(problem.status, 422, "{pointer} = {wrong}");
        let errors: Vec<_> = problem.errors.iter().map(|e| (e.pointer.as_str(), e.code.as_ref())).collect();
        assert_eq!(errors, [(blamed, code)], "{pointer} = {wrong}");
    }
}

#[test]
fn all_wrong_fields_are_named_at_once() {
    let value = json!({
        "customer": {"email": "nobody"},
        "items": [{"sku": "A", "quantity": 0}, {"sku": "B", "quantity": 1, "unitPrice": "x"}],
        "currency": "EUR",
        "note": "hi",
    });
    let problem = parse(&value).unwrap_err();
    let pointers: Vec<_> = problem.errors.iter().map(|e| e.pointer.as_str()).collect();
    let expected =
        ["/customer/email", "/items/0/quantity", "/items/0/unitPrice", "/items/1/unitPrice", "/note"];
    assert_eq!(pointers, expected);
}

#[test]
fn a_repeated_sku_is_refused() {
    let item = json!({"sku": "A", "quantity": 1, "unitPrice": "1"});
    let mut value = valid();
    value["items"] = json!([item, item]);
    let problem = parse(&value).unwrap_err();
    assert_eq!(problem.errors[0].pointer, "/items/1");
    assert_eq!(problem.errors[0].code, "duplicate");
}

#[test]
fn a_syntax_error_is_named_with_its_place() {
    let deep = "[".repeat(60_000);
    for body in [
        b"".as_slice(),
        b"{",
        b"{}x",
        b"\xef\xbb\xbf{}",
        b"\"\xff\"",
        b"{\"a\": NaN}",
        b"{\"a\": 1, \"a\": 1}",
        deep.as_bytes(),
    ] {
        let problem = Order::parse(body).unwrap_err();
        assert_eq!(problem.status, 400);
        assert!(problem.detail.contains("line 1 column"), "{}", problem.detail);
    }
}

#[test]
fn json_other_than_an_object_is_refused() {
    for body in ["null", "[]", "7", "\"x\"", "true"] {
        let problem = Order::parse(body.as_bytes()).unwrap_err();
        assert_eq!((problem.status, problem.errors[0].pointer.as_str()), (422, ""), "{body}");
    }
}
