//! Properties of every message, not just of those in the tables.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Email;

fn item() -> impl Strategy<Value = Item> {
    ("[A-Za-z0-9._-]{1,64}", 1..=1000_u32, 1..=1_000_000_u32).prop_map(|(sku, quantity, price)| Item {
        sku,
        quantity,
        unit_price: price.to_string(),
    })
}

/// An event as payment makes them.
fn event() -> impl Strategy<Value = PaymentEvent> {
    let currency = proptest::sample::select(Currency::ALL.to_vec());
    let reason = proptest::option::of("[A-Za-zà-ÿ][A-Za-zà-ÿ ,.]{0,80}");
    let email = "[a-z0-9+-]{1,20}@[a-z0-9]{1,20}\\.[a-z]{2,6}";
    let ids = (any::<u128>(), any::<u128>(), DATES);
    (ids, email, vec(item(), 1..6), 1..=1_000_000_000_u32, currency, reason).prop_map(
        |((id, order, seconds), email, items, amount, currency, reason)| PaymentEvent {
            specversion: SPECVERSION.to_owned(),
            id: Uuid::from_u128(id),
            source: SOURCE.to_owned(),
            kind: if reason.is_some() { Kind::Declined } else { Kind::Succeeded },
            time: OffsetDateTime::from_unix_timestamp(seconds).unwrap(),
            data: PaymentSettled {
                order_id: Uuid::from_u128(order),
                customer: Customer { email: Email::parse(&email).unwrap() },
                items,
                amount: amount.to_string(),
                currency,
                reason,
            },
        },
    )
}

/// A value to put in the place of one of an event.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        Just(json!([])),
        Just(json!({})),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9]{1,22}(\\.[0-9]{0,4})?".prop_map(Value::from),
    ]
}

const POINTERS: [&str; 14] = [
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
    "/data/items/0",
    "/data/items/0/sku",
    "/data/items/0/quantity",
    "/data/amount",
];

fn read_again(event: &PaymentEvent) -> Result<PaymentEvent, Unreadable> {
    PaymentEvent::read(&serde_json::to_vec(event).unwrap(), Some(&event.id.to_string()))
}

proptest! {
    #[test]
    fn bytes_are_an_event_or_a_reason(message in vec(any::<u8>(), 0..512), id in ".{0,40}") {
        let reason = PaymentEvent::read(&message, Some(&id)).unwrap_err().to_string();
        prop_assert!(reason.starts_with("not "), "{reason}");
    }

    #[test]
    fn an_event_survives_the_wire(event in event()) {
        prop_assert_eq!(read_again(&event), Ok(event));
    }

    #[test]
    fn an_event_that_is_read_can_be_read_again(event in event(), pointer in proptest::sample::select(&POINTERS), value in anything()) {
        let id = event.id.to_string();
        let mut changed = serde_json::to_value(&event).unwrap();
        *changed.pointer_mut(pointer).unwrap() = value;
        if let Ok(read) = PaymentEvent::read(changed.to_string().as_bytes(), Some(&id)) {
            prop_assert_eq!(read.id, event.id);
            prop_assert_eq!(read_again(&read), Ok(read));
        }
    }

    #[test]
    fn a_message_with_another_id_is_refused(event in event(), id in any::<u128>()) {
        prop_assume!(id != event.id.as_u128());
        let message = serde_json::to_vec(&event).unwrap();
        prop_assert_eq!(PaymentEvent::read(&message, Some(&Uuid::from_u128(id).to_string())), Err(Unreadable::Id));
        prop_assert_eq!(PaymentEvent::read(&message, None), Err(Unreadable::Id));
    }
}
