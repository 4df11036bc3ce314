//! The events of payment: JSON in the envelope of CloudEvents 1.0, structured mode.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::http::Outcome;
use crate::object::{Object, object, objects};
#[cfg(feature = "schema")]
use crate::rules::{AMOUNT, LINE, MAX_ITEMS, MAX_LINE, TIME};
use crate::rules::{EVENT, Flaw, is_line};
use crate::{Currency, Customer, Item};

/// The content type of an event.
pub const CONTENT_TYPE: &str = "application/cloudevents+json";

/// The `source` of every event of payment.
pub const SOURCE: &str = "/payment-service";

/// The `specversion` of every event of payment.
pub const SPECVERSION: &str = "1.0";

/// Bytes of an event; payment accepts no order that would make a larger one.
pub const MAX_SIZE: usize = 256 * 1024;

/// The times that can be written as a date: from 1970 to 9999, in seconds since the Unix epoch.
const DATES: RangeInclusive<i64> = 0..=253_402_300_799;

/// The JSON Schema of an event, as it is published; made of the types by the test `schema`.
pub const JSON_SCHEMA: &str = include_str!("../payment-event.schema.json");

/// The event of a settled payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PaymentEvent {
    /// The version of CloudEvents.
    #[cfg_attr(feature = "schema", schemars(extend("const" = SPECVERSION)))]
    pub specversion: String,
    /// Unique; also the AMQP `message_id`. A repeated delivery repeats it.
    pub id: Uuid,
    /// The program that sent it.
    #[cfg_attr(feature = "schema", schemars(extend("const" = SOURCE)))]
    pub source: String,
    /// Also the routing key.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When the payment was settled.
    #[serde(with = "time::serde::rfc3339")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time", "pattern" = TIME)))]
    pub time: OffsetDateTime,
    /// The payment.
    #[serde(deserialize_with = "object")]
    pub data: PaymentSettled,
}

/// The kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PaymentSettled {
    /// The order.
    pub order_id: Uuid,
    /// The customer who pays.
    #[serde(deserialize_with = "object")]
    pub customer: Customer,
    /// The items that are paid for.
    #[serde(deserialize_with = "objects")]
    #[cfg_attr(feature = "schema", schemars(extend("minItems" = 1, "maxItems" = MAX_ITEMS)))]
    pub items: Vec<Item>,
    /// The amount, a decimal string.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = AMOUNT)))]
    pub amount: String,
    /// The currency of the amount.
    pub currency: Currency,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = LINE, "maxLength" = MAX_LINE)))]
    pub reason: Option<String>,
}

/// Why a message is not an event of payment; without its contents, which may be personal data.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It has more than [`MAX_SIZE`] bytes.
    #[error("larger than any event of payment")]
    TooLarge,
    /// It is not JSON.
    #[error("not JSON: line {0}, column {1}")]
    Json(usize, usize),
    /// It is JSON of another shape.
    #[error("not an event of payment: line {0}, column {1}")]
    Shape(usize, usize),
    /// It is of another version of the envelope, or of another source.
    #[error("not an event of payment: {0} is not {1}")]
    Foreign(&'static str, &'static str),
    /// The `message_id` is missing or not the id of the event, so that a repeated delivery could not be recognised.
    #[error("the message_id is not the id of the event")]
    Id,
    /// The time has no calendar date of four digits.
    #[error("the time is before 1970 or after 9999")]
    Time,
    /// A value breaks a rule of the contract.
    #[error("not what the contract allows: {} {}", .0.pointer, .0.reason)]
    Flaw(Flaw),
}

impl PaymentEvent {
    /// The JSON Schema of an event. What it cannot say, [`PaymentEvent::read`] checks: the size, the `message_id`, dates.
    #[cfg(feature = "schema")]
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Self)
    }

    /// Reads the event in a message with this `message_id`.
    ///
    /// # Errors
    /// When payment can't have sent it.
    pub fn read(message: &[u8], message_id: Option<&str>) -> Result<Self, Unreadable> {
        if message.len() > MAX_SIZE {
            return Err(Unreadable::TooLarge);
        }
        let Object(event) = serde_json::from_slice::<Object<Self>>(message).map_err(|error| {
            let kind = if error.is_data() { Unreadable::Shape } else { Unreadable::Json };
            kind(error.line(), error.column())
        })?;
        event.check(message_id)?;
        Ok(event)
    }

    fn check(&self, message_id: Option<&str>) -> Result<(), Unreadable> {
        if self.specversion != SPECVERSION {
            return Err(Unreadable::Foreign("specversion", SPECVERSION));
        }
        if self.source != SOURCE {
            return Err(Unreadable::Foreign("source", SOURCE));
        }
        if message_id.and_then(|id| id.parse().ok()) != Some(self.id) {
            return Err(Unreadable::Id);
        }
        if !DATES.contains(&self.time.unix_timestamp()) {
            return Err(Unreadable::Time);
        }
        self.data.flaw().map_or(Ok(()), |flaw| Err(Unreadable::Flaw(flaw)))
    }
}

impl PaymentSettled {
    /// The first flaw; its pointer begins at the event.
    fn flaw(&self) -> Option<Flaw> {
        let mut flaws = EVENT.flaws(&self.customer, &self.items, &self.amount, self.currency);
        if self.reason.as_deref().is_some_and(|reason| !is_line(reason)) {
            flaws.push(Flaw { pointer: "/reason".to_owned(), reason: "is not a line of text".to_owned() });
        }
        let first = flaws.into_iter().next()?;
        Some(Flaw { pointer: format!("/data{}", first.pointer), ..first })
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_ignored() {
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
