//! What payment announces: JSON in the envelope of CloudEvents 1.0, structured mode.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::http::Outcome;
use crate::{Currency, Customer, Item};

/// The content type of an event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The `source` of every event of payment.
pub const SOURCE: &str = "/payment-service";

/// A settled payment, for everyone who wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentEvent {
    /// The version of CloudEvents: `1.0`.
    pub specversion: String,
    /// Unique; also the AMQP `message_id`. A repeated delivery repeats it.
    pub id: Uuid,
    /// [`SOURCE`].
    pub source: String,
    /// Also the routing key.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When the payment was settled.
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    /// The payment.
    pub data: PaymentSettled,
}

/// The kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// `payment.succeeded`
    #[serde(rename = "payment.succeeded")]
    Succeeded,
    /// `payment.declined`
    #[serde(rename = "payment.declined")]
    Declined,
}

impl Kind {
    /// The name on the wire: `type` and routing key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "payment.succeeded",
            Self::Declined => "payment.declined",
        }
    }
}

impl From<Outcome> for Kind {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Declined => Self::Declined,
        }
    }
}

/// The data of a [`PaymentEvent`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentSettled {
    /// The order.
    pub order_id: Uuid,
    /// Who pays.
    pub customer: Customer,
    /// What for.
    pub items: Vec<Item>,
    /// How much: a decimal string.
    pub amount: String,
    /// Of what.
    pub currency: Currency,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_new_to_a_reader_is_none_of_its_business() {
        let event = serde_json::json!({
            "specversion": "1.0", "id": Uuid::nil(), "source": SOURCE, "type": "payment.succeeded",
            "time": "2026-01-02T03:04:05Z", "subject": "new",
            "data": {
                "orderId": Uuid::nil(), "amount": "5.00", "currency": "EUR", "note": "new",
                "customer": {"email": "ada@example.com", "name": "new"},
                "items": [{"sku": "BOOK", "quantity": 1, "unitPrice": "5.00", "colour": "new"}],
            },
        });
        let event: PaymentEvent = serde_json::from_value(event).unwrap();
        assert_eq!((event.kind, event.data.amount.as_str()), (Kind::Succeeded, "5.00"));
    }
}
