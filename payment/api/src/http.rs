//! Payment over HTTP. Every call carries `Authorization: Bearer <token>`.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::object::{object, objects};
use crate::rules::{Flaw, REQUEST};
use crate::{Currency, Customer, Item};

/// `POST`: settle a payment. Answers 200 with [`Payment`], also when it was settled before.
pub const PROCESS_PAYMENT: &str = "/process-payment";

/// `GET`: a payment by its order id, as a route template.
pub const PAYMENT: &str = "/payments/{order_id}";

/// The header that makes a settlement repeatable: the same key has the same response and one payment.
///
/// Required here; the gateway derives it, so that its retries can't charge twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Characters of an [`IDEMPOTENCY_KEY`].
pub const MAX_IDEMPOTENCY_KEY: usize = 255;

/// The key of an order whose client sent none: only a retry of the gateway can bring it again.
pub fn order_key(order_id: Uuid) -> String {
    format!("order-{order_id}")
}

/// The body of [`PROCESS_PAYMENT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewPayment {
    /// The order to pay; an answer that repeats an earlier one has that one's order id.
    pub order_id: Uuid,
    /// The customer who pays.
    #[serde(deserialize_with = "object")]
    pub customer: Customer,
    /// The items that are paid for.
    #[serde(deserialize_with = "objects")]
    pub items: Vec<Item>,
    /// The amount, a decimal string.
    pub amount: String,
    /// The currency of the amount.
    pub currency: Currency,
}

impl NewPayment {
    /// The values that break a rule of the contract.
    pub fn flaws(&self) -> Vec<Flaw> {
        REQUEST.flaws(&self.customer, &self.items, &self.amount, self.currency)
    }
}

/// A settled payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// The order that it is for.
    pub order_id: Uuid,
    /// The outcome.
    pub outcome: Outcome,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The amount, a decimal string.
    pub amount: String,
    /// The currency of the amount.
    pub currency: Currency,
    /// When it was settled.
    #[serde(with = "time::serde::rfc3339")]
    pub settled_at: OffsetDateTime,
    /// The trace of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Whether the broker has confirmed the event of this payment.
    pub event: EventState,
}

/// The outcome of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The customer was charged.
    Succeeded,
    /// The customer was not charged, and another attempt ends the same way.
    Declined,
}

impl Outcome {
    /// The name on the wire and in labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Declined => "declined",
        }
    }
}

/// The state of the event of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// It is in the outbox.
    Pending,
    /// The broker has confirmed it.
    Published,
}
