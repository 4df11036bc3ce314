//! Events as an operator may see them: without what the customer is known by.

use serde_json::{Map, Value};

/// The members of an event that describe an order and no person.
const SHOWN: [&str; 14] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "data",
    "orderId",
    "items",
    "sku",
    "quantity",
    "unitPrice",
    "amount",
    "currency",
    "reason",
];
const REDACTED: &str = "[redacted]";

/// The event in a body without personal data; `None` where it is no JSON.
///
/// Members that the contract does not know are redacted, and so is a text with an `@` in it: a message that can't be read
/// may have an address anywhere.
pub(crate) fn redacted(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok().map(redact)
}

fn redact(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(members.into_iter().map(member).collect::<Map<_, _>>()),
        Value::Array(values) => Value::Array(values.into_iter().map(redact).collect()),
        Value::String(text) if text.contains('@') => REDACTED.into(),
        value => value,
    }
}

fn member((name, value): (String, Value)) -> (String, Value) {
    let value = if SHOWN.contains(&name.as_str()) { redact(value) } else { REDACTED.into() };
    (if name.contains('@') { REDACTED.to_owned() } else { name }, value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_keeps_its_order_and_loses_its_customer() {
        let event = testkit::event::paid("ada@example.org");
        let shown = redacted(&serde_json::to_vec(&event).unwrap()).unwrap();
        for pointer in
            ["/id", "/type", "/time", "/data/orderId", "/data/items", "/data/amount", "/data/currency"]
        {
            assert!(event.pointer(pointer).is_some(), "{event}");
            assert_eq!(shown.pointer(pointer), event.pointer(pointer), "{pointer}");
        }
        assert_eq!(shown["data"]["customer"], "[redacted]");
    }

    #[test]
    fn an_unreadable_body_shows_no_address() {
        let body =
            json!({"to": "Ada", "id": "ada@example.org", "data": [{"ada@example.org": 1, "sku": "A"}]});
        let shown = redacted(&serde_json::to_vec(&body).unwrap()).unwrap();
        let expected = json!({
            "to": "[redacted]", "id": "[redacted]", "data": [{"[redacted]": "[redacted]", "sku": "A"}],
        });
        assert_eq!(shown, expected);
        assert_eq!(redacted(b"\xff no JSON"), None);
    }
}
