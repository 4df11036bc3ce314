//! JSON that is no order: the answer names each wrong field.

use serde_json::{Value, json};

use super::case::{Case, JSON, Problem, order};
use crate::harness::books;

const WRONG: super::case::Expected = Problem(422, "/problems/validation");

/// A valid order with another value in one field.
fn field(pointer: &'static str, wrong: Value, blamed: &'static str) -> Case {
    let mut body = books("ada@example.org");
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match (body.pointer_mut(parent).unwrap(), name.parse::<usize>()) {
        (Value::Array(elements), Ok(index)) => elements[index] = wrong.clone(),
        (object, _) => object[name] = wrong.clone(),
    }
    let wrong: String = wrong.to_string().chars().take(80).collect();
    order(&format!("{pointer} = {wrong}"), JSON, body.to_string().as_bytes(), WRONG).blames(&[blamed])
}

/// A valid order without one of its fields.
fn without(pointer: &'static str) -> Case {
    let mut body = books("ada@example.org");
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    order(&format!("without {pointer}"), JSON, body.to_string().as_bytes(), WRONG).blames(&[pointer])
}

pub(super) fn cases() -> Vec<Case> {
    [shapes(), emails(), currencies_and_items(), amounts()].into_iter().flatten().collect()
}

fn shapes() -> Vec<Case> {
    let several =
        json!({"customer": {"email": "no-address"}, "items": [{"sku": "A", "quantity": 0}], "note": "hi"});
    let several = order("several fields", JSON, several.to_string().as_bytes(), WRONG).blames(&[
        "/currency",
        "/customer/email",
        "/items/0/quantity",
        "/items/0/unitPrice",
        "/note",
    ]);
    let by_position = json!([{"email": "ada@example.org"}, [], "USD"]).to_string();
    let tops = ["null", "[]", "7", "\"x\"", "true", &by_position]
        .map(|body| order(body, JSON, body.as_bytes(), WRONG).blames(&[""]));
    let missing = [
        "/customer",
        "/customer/email",
        "/currency",
        "/items",
        "/items/0/sku",
        "/items/0/quantity",
        "/items/0/unitPrice",
    ]
    .map(without);
    tops.into_iter().chain(missing).chain([several]).collect()
}

fn emails() -> Vec<Case> {
    let long = format!("{}@example.org", "a".repeat(250));
    let local = format!("{}@example.org", "a".repeat(65));
    let email = |wrong: &str| field("/customer/email", json!(wrong), "/customer/email");
    let mut cases: Vec<Case> = [
        "",
        "ada",
        "ada@",
        "@example.org",
        "ada@localhost",
        "ada@example.org.",
        "ada@example..org",
        " ada@example.org",
        "ada@@example.org",
        "ada@eve@example.org",
        "Ada <ada@example.org>",
        "\"ada lovelace\"@example.org",
        "ada(the first)@example.org",
        "ada@[127.0.0.1]",
        "ada@example.org,eve@example.org",
        "ada@example.org\r\nBcc: eve@example.org",
        "ada@example.org\nRCPT TO:<eve@example.org>",
        "ada@example.org\r",
        "ada\0@example.org",
        "ada\u{1b}[31m@example.org",
        "ada\u{85}@example.org",
        "ada\u{2028}@example.org",
        "ada\u{202e}gro.elpmaxe@example.org",
        "аda@example.org", // the first letter is Cyrillic
        "ada@exämple.org",
        &local,
        &long,
    ]
    .map(email)
    .into();
    cases.extend([
        field("/customer", json!("ada@example.org"), "/customer"),
        field("/customer", json!(["ada@example.org"]), "/customer"),
        field("/customer", json!(null), "/customer"),
        field("/customer/email", json!(7), "/customer/email"),
        field("/customer/email", json!(["ada@example.org"]), "/customer/email"),
        field("/customer/name", json!("Ada"), "/customer/name"),
    ]);
    cases
}

fn currencies_and_items() -> Vec<Case> {
    let item = |index: usize| json!({"sku": format!("S-{index}"), "quantity": 1, "unitPrice": "0.01"});
    let many: Vec<Value> = (0..101).map(item).collect();
    let sku = |wrong: &str| field("/items/0/sku", json!(wrong), "/items/0/sku");
    let quantity = |wrong: Value| field("/items/0/quantity", wrong, "/items/0/quantity");
    vec![
        field("/currency", json!("XXX"), "/currency"),
        field("/currency", json!("usd"), "/currency"),
        field("/currency", json!("USDT"), "/currency"),
        field("/currency", json!("ＵＳＤ"), "/currency"),
        field("/currency", json!("USD\0"), "/currency"),
        field("/currency", json!(["USD"]), "/currency"),
        field("/items", json!([]), "/items"),
        field("/items", json!(many), "/items"),
        field("/items", json!({"0": {}}), "/items"),
        field("/items/0", json!(["BOOK-1", 1, "49.99"]), "/items/0"),
        field("/items/0/colour", json!("red"), "/items/0/colour"),
        field("/items/1/sku", json!("BOOK-1"), "/items/1"),
        sku(""),
        sku("a b"),
        sku("a\u{202e}b"),
        sku("a\0b"),
        sku("a\r\n.\r\nMAIL FROM:<eve@example.org>"),
        sku("'; DROP TABLE payments; --"),
        sku("<script>alert(1)</script>"),
        sku("${jndi:ldap://example.org/a}"),
        sku("{{7*7}}"),
        sku("../../etc/passwd"),
        sku(&"A".repeat(65)),
        sku(&"A".repeat(10_000)),
        quantity(json!("2")),
        quantity(json!(0)),
        quantity(json!(-1)),
        quantity(json!(1.0)),
        quantity(json!(1.5)),
        quantity(json!(1001)),
        quantity(json!(4_294_967_296_u64)),
        quantity(json!(u64::MAX)),
        quantity(json!(1e300)),
    ]
}

fn amounts() -> Vec<Case> {
    let price = |wrong: Value| field("/items/0/unitPrice", wrong, "/items/0/unitPrice");
    vec![
        price(json!(49.99)),
        price(json!(0.1)),
        price(json!("")),
        price(json!("0.00")),
        price(json!("-0")),
        price(json!("-1.00")),
        price(json!("+1.00")),
        price(json!("1e9")),
        price(json!("0x10")),
        price(json!("0.001")),
        price(json!("1,000.00")),
        price(json!(" 1.00")),
        price(json!("NaN")),
        price(json!("１.00")),
        price(json!("9".repeat(30))),
        price(json!("9007199254740993")),
        field("/items/0/unitPrice", json!("1000000.00"), "/items"),
        field("/total", json!("100.00"), "/total"),
    ]
}
