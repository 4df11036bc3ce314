//! A payment event, written by the contract alone.

use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

/// The event of an order that a customer with this e-mail address has just paid: 49.99 USD for one book.
#[expect(clippy::expect_used, reason = "RFC 3339 has a text for every time until the year 9999")]
pub fn paid(email: &str) -> Value {
    let now = OffsetDateTime::now_utc().format(&Rfc3339).expect("the clock is right");
    json!({
        "specversion": "1.0",
        "id": Uuid::now_v7(),
        "source": "/payment-service",
        "type": "payment.succeeded",
        "time": now,
        "data": {
            "orderId": Uuid::now_v7(),
            "customer": {"email": email},
            "items": [{"sku": "BOOK-1", "quantity": 1, "unitPrice": "49.99"}],
            "amount": "49.99",
            "currency": "USD",
        },
    })
}
