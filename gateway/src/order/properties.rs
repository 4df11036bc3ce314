//! Properties of every body, not just of those in the tables.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::Order;

/// Any JSON, with the names of an order in it more often than chance would have them.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[0-9]{1,22}(\\.[0-9]{0,4})?".prop_map(Value::from),
        prop_oneof![Just("USD"), Just("JPY"), Just("ada@example.com"), Just("BOOK-1")].prop_map(Value::from),
    ];
    let name = prop_oneof![
        4 => prop_oneof![Just("customer"), Just("email"), Just("items"), Just("sku"), Just("quantity"),
            Just("unitPrice"), Just("currency")].prop_map(str::to_owned),
        1 => ".{0,12}",
    ];
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((name.clone(), inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn item() -> impl Strategy<Value = (Value, u64)> {
    (1..=1000_u64, 1..=10_000_u64).prop_map(|(quantity, cents)| {
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        (
            json!({"sku": format!("S-{quantity}-{cents}"), "quantity": quantity, "unitPrice": price}),
            quantity * cents,
        )
    })
}

proptest! {
    #[test]
    fn bytes_are_an_order_or_a_problem(body in vec(any::<u8>(), 0..512)) {
        if let Err(problem) = Order::parse(&body) {
            prop_assert!(problem.status == 400 || problem.status == 422);
        }
    }

    #[test]
    fn json_is_an_order_or_an_error_with_a_pointer_into_it(value in document()) {
        let body = serde_json::to_vec(&value).unwrap();
        if let Err(problem) = Order::parse(&body) {
            prop_assert_eq!(problem.status, 422);
            prop_assert!(!problem.errors.is_empty());
            for error in &problem.errors {
                prop_assert!(error.pointer.is_empty() || error.pointer.starts_with('/'), "{}", error.pointer);
                // A missing or unknown field has no value that a pointer could lead to.
                let is_named = matches!(error.code.as_ref(), "missing" | "unknown");
                prop_assert!(is_named || value.pointer(&error.pointer).is_some(), "{}", error.pointer);
            }
        }
    }

    #[test]
    fn an_order_is_worth_the_sum_of_its_items(items in vec(item(), 1..5)) {
        let worth: u64 = items.iter().map(|(_, cents)| cents).sum();
        let items: std::collections::BTreeMap<_, _> =
            items.iter().map(|(item, cents)| (item["sku"].to_string(), (item, cents))).collect();
        prop_assume!(items.values().map(|(_, cents)| **cents).sum::<u64>() == worth && worth <= 100_000_000);
        let lines: Vec<_> = items.values().map(|(item, _)| item).collect();
        let body = json!({"customer": {"email": "ada@example.com"}, "items": lines, "currency": "USD"});
        let order = Order::parse(&serde_json::to_vec(&body).unwrap()).unwrap();
        prop_assert_eq!(order.total.minor().unsigned_abs(), worth);
    }
}
