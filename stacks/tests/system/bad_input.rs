//! Bad input over a real socket: each gets its problem document, with the field and the trace, and none of it
//! reaches payment.

use serde_json::{Value, json};
use stacks::local::layout::Component::Payment;

use crate::harness::{System, ask, books, request};

const MALFORMED: &str = "/problems/malformed-json";
const VALIDATION: &str = "/problems/validation";
const MEDIA_TYPE: &str = "/problems/unsupported-media-type";
const KEY: &str = "/problems/idempotency-key-invalid";
const JSON: &str = "content-type: application/json\r\n";

struct Case {
    name: String,
    request: Vec<u8>,
    expected: (u16, &'static str),
    pointers: Vec<&'static str>,
}

fn case(name: &str, line: &str, headers: &str, body: &[u8], expected: (u16, &'static str)) -> Case {
    Case { name: name.to_owned(), request: request(line, headers, body), expected, pointers: Vec::new() }
}

fn order(name: &str, headers: &str, body: &[u8], expected: (u16, &'static str)) -> Case {
    case(name, "POST /create-order", headers, body, expected)
}

/// A valid order, in which one field has another value.
fn field(pointer: &'static str, wrong: Value, blamed: &'static str) -> Case {
    let mut body = books("ada@example.org");
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    match (body.pointer_mut(parent).unwrap(), name.parse::<usize>()) {
        (Value::Array(elements), Ok(index)) => elements[index] = wrong.clone(),
        (object, _) => object[name] = wrong.clone(),
    }
    let name = format!("{pointer} = {wrong}");
    let case = order(&name, JSON, body.to_string().as_bytes(), (422, VALIDATION));
    Case { pointers: vec![blamed], ..case }
}

fn unreadable() -> Vec<Case> {
    let valid = books("ada@example.org").to_string();
    let bom = [b"\xef\xbb\xbf", valid.as_bytes()].concat();
    let not_utf8 = valid.replace("BOOK-1", "\u{1}").into_bytes();
    let not_utf8: Vec<u8> = not_utf8.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    let large = format!("{valid}{}", " ".repeat(64 * 1024));
    let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", " ".repeat(size));
    let chunked = |chunks: &str| {
        let head = format!(
            "POST /create-order HTTP/1.1\r\nhost: localhost\r\n{JSON}transfer-encoding: chunked\r\n\r\n"
        );
        format!("{head}{chunks}").into_bytes()
    };
    let gzip = format!("{JSON}content-encoding: gzip\r\n");
    let body = valid.as_bytes();
    vec![
        order("no JSON", JSON, b"order=1", (400, MALFORMED)),
        order("truncated", JSON, &body[..body.len() - 1], (400, MALFORMED)),
        order(
            "a name twice",
            JSON,
            valid.replacen('{', "{\"currency\":\"EUR\",", 1).as_bytes(),
            (400, MALFORMED),
        ),
        order("two documents", JSON, valid.repeat(2).as_bytes(), (400, MALFORMED)),
        order("byte order mark", JSON, &bom, (400, MALFORMED)),
        order("not UTF-8", JSON, &not_utf8, (400, MALFORMED)),
        order("blanks only", JSON, b"  \n", (400, MALFORMED)),
        order("nested without end", JSON, "[".repeat(60_000).as_bytes(), (400, MALFORMED)),
        order("no content type", "", body, (415, MEDIA_TYPE)),
        order("a form", "content-type: application/x-www-form-urlencoded\r\n", body, (415, MEDIA_TYPE)),
        order("text", "content-type: text/plain\r\n", body, (415, MEDIA_TYPE)),
        order("nonsense type", "content-type: json\r\n", body, (415, MEDIA_TYPE)),
        order("Latin 1", "content-type: application/json; charset=iso-8859-1\r\n", body, (415, MEDIA_TYPE)),
        order("two types", &JSON.repeat(2), body, (415, MEDIA_TYPE)),
        order("compressed", &gzip, body, (415, "/problems/unsupported-encoding")),
        order("over 64 KiB", JSON, large.as_bytes(), (413, "/problems/too-large")),
        Case {
            request: chunked(&format!("{}0\r\n\r\n", chunk(8 * 1024).repeat(9))),
            ..order("over 64 KiB in chunks", "", b"", (413, "/problems/too-large"))
        },
        Case {
            request: chunked("zz\r\n{}\r\n"),
            ..order("a bad chunk", "", b"", (400, "/problems/bad-framing"))
        },
    ]
}

fn wrong_fields() -> Vec<Case> {
    let mut cases: Vec<Case> = ["null", "[]", "7", "\"x\"", "true"]
        .map(|body| Case { pointers: vec![""], ..order(body, JSON, body.as_bytes(), (422, VALIDATION)) })
        .into();
    let several =
        json!({"customer": {"email": "nobody"}, "items": [{"sku": "A", "quantity": 0}], "note": "hi"});
    cases.push(Case {
        pointers: vec!["/currency", "/customer/email", "/items/0/quantity", "/items/0/unitPrice", "/note"],
        ..order("several fields", JSON, several.to_string().as_bytes(), (422, VALIDATION))
    });
    let long = format!("{}@example.org", "a".repeat(250));
    cases.extend([
        field("/customer", json!("ada@example.org"), "/customer"),
        field("/customer/email", json!(7), "/customer/email"),
        field("/customer/email", json!(""), "/customer/email"),
        field("/customer/email", json!("ada"), "/customer/email"),
        field("/customer/email", json!("ada@localhost"), "/customer/email"),
        field("/customer/email", json!("Ada <ada@example.org>"), "/customer/email"),
        field("/customer/email", json!("ada@example.org\r\nBcc: eve@example.org"), "/customer/email"),
        field("/customer/email", json!("ada@example.org,eve@example.org"), "/customer/email"),
        field("/customer/email", json!(long), "/customer/email"),
        field("/customer/name", json!("Ada"), "/customer/name"),
        field("/currency", json!("XXX"), "/currency"),
        field("/currency", json!("usd"), "/currency"),
        field("/currency", json!(["USD"]), "/currency"),
        field("/items", json!([]), "/items"),
        field("/items", json!({"0": {}}), "/items"),
        field("/items/0", json!(["BOOK-1", 1, "49.99"]), "/items/0"),
        field("/items/0/sku", json!("a b"), "/items/0/sku"),
        field("/items/1/sku", json!("BOOK-1"), "/items/1"),
        field("/items/0/quantity", json!("2"), "/items/0/quantity"),
        field("/items/0/quantity", json!(0), "/items/0/quantity"),
        field("/items/0/quantity", json!(-1), "/items/0/quantity"),
        field("/items/0/quantity", json!(1.5), "/items/0/quantity"),
        field("/items/0/quantity", json!(u64::MAX), "/items/0/quantity"),
        field("/items/0/unitPrice", json!(49.99), "/items/0/unitPrice"),
        field("/items/0/unitPrice", json!("0.00"), "/items/0/unitPrice"),
        field("/items/0/unitPrice", json!("-1.00"), "/items/0/unitPrice"),
        field("/items/0/unitPrice", json!("1e9"), "/items/0/unitPrice"),
        field("/items/0/unitPrice", json!("0.001"), "/items/0/unitPrice"),
        field("/items/0/unitPrice", json!("9".repeat(30)), "/items/0/unitPrice"),
        field("/items/0/unitPrice", json!("1000000.00"), "/items"),
        field("/total", json!("100.00"), "/total"),
    ]);
    cases
}

fn misdirected() -> Vec<Case> {
    let key = |key: &str| format!("idempotency-key: {key}\r\n");
    vec![
        case("unknown route", "POST /orders", "", b"", (404, "/problems/not-found")),
        case("outside", "GET /../../etc/passwd", "", b"", (404, "/problems/not-found")),
        case("wrong method", "GET /create-order", "", b"", (405, "/problems/method-not-allowed")),
        case("wrong method", "DELETE /orders/7", "", b"", (405, "/problems/method-not-allowed")),
        case("unheard-of method", "BREW /create-order", "", b"", (405, "/problems/method-not-allowed")),
        order("empty key", &key(""), b"", (400, KEY)),
        order("a key with a blank", &key("a b"), b"", (400, KEY)),
        order("a key that is not ASCII", &key("schlüssel"), b"", (400, KEY)),
        order("a long key", &key(&"k".repeat(256)), b"", (400, KEY)),
        order("two keys", &(key("a") + &key("b")), b"", (400, KEY)),
    ]
}

#[tokio::test]
async fn bad_input_gets_its_problem_document_and_nothing_reaches_payment() {
    let system = System::start().await;
    let reached = async || {
        let samples = system.metrics(Payment).await;
        let name = "http_request_duration_seconds_count";
        (samples.sum("payment_processed_total", &[]), samples.sum(name, &[("route", "/process-payment")]))
    };
    assert_eq!(reached().await, (0.0, 0.0));
    for Case { name, request, expected: (status, kind), pointers } in
        unreadable().into_iter().chain(wrong_fields()).chain(misdirected())
    {
        let answer = ask(system.stack.layout().gateway, &request).await;
        answer.assert_problem(status, kind, &name);
        assert_eq!(answer.pointers(), pointers, "{name}: {answer:?}");
    }
    assert_eq!(reached().await, (0.0, 0.0), "something reached payment");
    assert_eq!(system.emails(), Vec::<String>::new());

    system.place().await;
    assert_eq!(reached().await, (1.0, 1.0), "and a good order still does");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let system = System::start().await;
    let listening = system.stack.layout();
    for (address, line, allow) in [
        (listening.gateway, "GET /create-order", "POST"),
        (listening.gateway, "POST /orders/7", "GET"),
        (listening.payment, "GET /process-payment", "POST"),
        (listening.payment, "POST /payments/7", "GET"),
        (listening.mailer, "POST /metrics", "GET"),
    ] {
        let answer = ask(address, &request(line, "", b"")).await;
        assert_eq!((answer.status, answer.header("allow")), (405, allow), "{line}: {answer:?}");
    }
}
