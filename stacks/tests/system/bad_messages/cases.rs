//! Messages that a program with access to the broker could send.

use serde_json::{Value, json};
use testkit::event::paid;
use uuid::Uuid;

pub(super) struct Message {
    pub(super) name: String,
    pub(super) properties: Value,
    pub(super) payload: String,
    /// `string`, or `base64` for other bytes.
    pub(super) encoding: &'static str,
    pub(super) order: String,
    /// The start of the reason for parking it.
    pub(super) reason: &'static str,
}

const NO_JSON: &str = "not JSON: line 1, column ";
const NO_EVENT: &str = "not an event of payment";
const TOO_LARGE: &str = "larger than any event of payment";
const ID: &str = "the message_id is not the id of the event";
const EMAIL: &str = "not what the contract allows: /data/customer/email must be an e-mail address";
const SKU: &str = "not what the contract allows: /data/items/0/sku must be 1 to 256 visible characters";
const AMOUNT: &str = "not what the contract allows: /data/amount ";

/// An event that was changed.
pub(super) fn event(name: &str, change: impl FnOnce(&mut Value)) -> Message {
    let mut event = paid("ada@example.org");
    let order = event["data"]["orderId"].as_str().unwrap().to_owned();
    let properties = json!({"message_id": event["id"], "delivery_mode": 2});
    change(&mut event);
    let (name, payload) = (name.to_owned(), event.to_string());
    Message { name, properties, payload, encoding: "string", order, reason: "" }
}

impl Message {
    fn parked(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    fn with(mut self, property: &str, value: Value) -> Self {
        self.properties[property] = value;
        self
    }

    fn anonymous(mut self) -> Self {
        self.properties.as_object_mut().unwrap().remove("message_id");
        self
    }
}

fn bytes(name: &str, change: impl FnOnce(&str) -> String, reason: &'static str) -> Message {
    let message = event(name, |_| {});
    Message { payload: change(&message.payload), reason, ..message }
}

fn field(pointer: &str, wrong: Value, reason: &'static str) -> Message {
    let name: String = format!("{pointer} = {wrong}").chars().take(80).collect();
    event(&name, |event| *event.pointer_mut(pointer).unwrap() = wrong).parked(reason)
}

fn without(pointer: &str) -> Message {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    event(&format!("without {pointer}"), |event| {
        event.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    })
    .parked(NO_EVENT)
}

/// Messages that must be parked.
pub(super) fn unreadable() -> Vec<Message> {
    let missing = [
        "/specversion",
        "/id",
        "/source",
        "/type",
        "/time",
        "/data",
        "/data/orderId",
        "/data/customer",
        "/data/customer/email",
        "/data/items",
        "/data/items/0/sku",
        "/data/amount",
        "/data/currency",
    ];
    [unparsable(), missing.map(without).into(), envelopes(), types(), texts(), amounts()]
        .into_iter()
        .flatten()
        .collect()
}

fn unparsable() -> Vec<Message> {
    let blanks = |size: usize| move |text: &str| format!("{text}{}", " ".repeat(size));
    let by_position = |text: &str| {
        let event: Value = serde_json::from_str(text).unwrap();
        json!([
            event["specversion"],
            event["id"],
            event["source"],
            event["type"],
            event["time"],
            event["data"]
        ])
        .to_string()
    };
    vec![
        bytes("empty", |_| String::new(), NO_JSON),
        bytes("no JSON", |_| "order=1".to_owned(), NO_JSON),
        bytes("truncated", |text| text[..text.len() - 1].to_owned(), NO_JSON),
        bytes("two documents", |text| text.repeat(2), NO_JSON),
        bytes("a byte order mark", |text| format!("\u{feff}{text}"), NO_JSON),
        bytes("NaN", |text| text.replace("\"49.99\"", "NaN"), NO_JSON),
        // ff 00 7b 21
        Message { encoding: "base64", ..bytes("not UTF-8", |_| "/wB7IQ==".to_owned(), NO_JSON) },
        bytes("null", |_| "null".to_owned(), NO_EVENT),
        bytes("a text", |text| json!(text).to_string(), NO_EVENT),
        bytes("an array", |_| "[]".to_owned(), NO_EVENT),
        bytes("an event by position", by_position, NO_EVENT),
        bytes("nested without end", |_| "[".repeat(60_000), NO_EVENT),
        bytes("a name twice", |text| text.replacen('{', "{\"source\":\"/payment-service\",", 1), NO_EVENT),
        bytes("300 KB", blanks(300_000), TOO_LARGE),
        bytes("2 MB", blanks(2_000_000), TOO_LARGE),
    ]
}

fn envelopes() -> Vec<Message> {
    let version = "not an event of payment: specversion is not 1.0";
    let time = "the time is before 1970 or after 9999";
    vec![
        field("/specversion", json!("2.0"), version),
        field("/specversion", json!("0.3"), version),
        field(
            "/source",
            json!("/another-service"),
            "not an event of payment: source is not /payment-service",
        ),
        field("/type", json!("payment.refunded"), NO_EVENT),
        field("/id", json!("7"), NO_EVENT),
        field("/id", json!(Uuid::new_v4()), ID),
        field("/time", json!("yesterday"), NO_EVENT),
        field("/time", json!("2026-02-30T00:00:00Z"), NO_EVENT),
        field("/time", json!("2026-01-02T03:04:05"), NO_EVENT),
        // The header of an e-mail has no such date.
        field("/time", json!("1969-12-31T23:59:59Z"), time),
        field("/time", json!("9999-12-31T23:59:59-01:00"), time),
        event("no message_id", |_| {}).anonymous().parked(ID),
        event("another message_id", |_| {}).with("message_id", json!(Uuid::new_v4())).parked(ID),
        event("a message_id that is no UUID", |_| {}).with("message_id", json!("../../7")).parked(ID),
    ]
}

fn types() -> Vec<Message> {
    vec![
        field("/specversion", json!(1.0), NO_EVENT),
        field("/id", json!(7), NO_EVENT),
        field("/time", json!(1_790_000_000), NO_EVENT),
        field("/data", json!([]), NO_EVENT),
        field("/data/orderId", json!("../../etc/passwd"), NO_EVENT),
        field("/data/customer", json!(["ada@example.org"]), NO_EVENT),
        field("/data/customer/email", json!(null), NO_EVENT),
        field("/data/items", json!({"0": {}}), NO_EVENT),
        field("/data/items/0", json!(["BOOK-1", 1, "49.99"]), NO_EVENT),
        field("/data/items/0/quantity", json!("1"), NO_EVENT),
        field("/data/items/0/quantity", json!(-1), NO_EVENT),
        field("/data/items/0/quantity", json!(1.5), NO_EVENT),
        field("/data/amount", json!(49.99), NO_EVENT),
        field("/data/currency", json!("XXX"), NO_EVENT),
        field("/data/currency", json!("usd"), NO_EVENT),
    ]
}

fn texts() -> Vec<Message> {
    let email = |wrong: &str| field("/data/customer/email", json!(wrong), EMAIL);
    let sku = |wrong: &str| field("/data/items/0/sku", json!(wrong), SKU);
    let reason = "not what the contract allows: /data/reason is not a line of text";
    vec![
        email(""),
        email("no-address"),
        email("ada@example.org\r\nBcc: eve@example.org"),
        email("ada@example.org>\r\nRCPT TO:<eve@example.org"),
        email("ada@example.org,eve@example.org"),
        email("ada\0@example.org"),
        email("ada@\u{202e}gro.elpmaxe"),
        email(&format!("ada@{}.org", "a".repeat(300))),
        sku(""),
        sku("A\n.\nMAIL FROM:<eve@example.org>"),
        sku("A\r\n.\r\n"),
        sku("A\0"),
        sku("A\u{1b}[31m"),
        sku("A\u{2028}B"),
        sku("A\u{202e}B"),
        sku(&"A".repeat(10_000)),
        event("a reason of two lines", |event| event["data"]["reason"] = "No.\r\n.\r\n".into())
            .parked(reason),
    ]
}

fn amounts() -> Vec<Message> {
    let item = "not what the contract allows: /data/items";
    let amount = |wrong: &str| field("/data/amount", json!(wrong), AMOUNT);
    vec![
        amount("-49.99"),
        amount("0.00"),
        amount("NaN"),
        amount("1e3"),
        amount("0.001"),
        amount("49,99"),
        amount(&"9".repeat(30)),
        field("/data/items", json!([]), item),
        field("/data/items/0/quantity", json!(0), item),
        field("/data/items/0/unitPrice", json!("free"), item),
    ]
}

/// Unusual events that must become e-mails.
pub(super) fn harmless() -> Vec<Message> {
    let headers = |name: &str, headers: Value| event(name, |_| {}).with("headers", headers);
    let many: serde_json::Map<String, Value> = (0..1000).map(|n| (format!("h{n}"), json!(n))).collect();
    let mut all = vec![
        headers("a malformed traceparent", json!({"traceparent": "00-nonsense"})),
        headers("a traceparent that is a number", json!({"traceparent": 7, "tracestate": true})),
        headers("a traceparent of lists", json!({"traceparent": ["00"], "tracestate": {"a": {"b": []}}})),
        headers("a thousand headers", Value::Object(many)),
        headers("10 KB of trace state", json!({"tracestate": format!("a={}", "b".repeat(10_000))})),
        event("labelled as text", |_| {}).with("content_type", json!("text/plain; charset=utf-16")),
        event("labelled as compressed", |_| {}).with("content_encoding", json!("gzip")),
        event("urgent", |_| {}).with("priority", json!(255)),
        event("soon to expire", |_| {}).with("expiration", json!("60000")),
        event("labelled as another type", |_| {}).with("type", json!("payment.declined")),
        event("from the year 2100", |_| {}).with("timestamp", json!(4_102_444_800_u64)),
        event("with reply_to", |_| {}).with("reply_to", json!("somewhere")),
        event("new fields", |event| {
            event["subject"] = json!("new");
            event["data"]["note"] = json!({"deep": [[[[[[]]]]]]});
        }),
        event("a recipient of another script", |event| {
            event["data"]["customer"]["email"] = "ädä@exämple.org".into()
        }),
    ];
    let mut shouted = event("an id in upper case", |_| {});
    shouted.properties["message_id"] =
        shouted.properties["message_id"].as_str().unwrap().to_uppercase().into();
    all.push(shouted);
    all
}
