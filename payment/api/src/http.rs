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

/// The header that makes a settlement repeatable: same key, same answer, one payment.
///
/// Required here; the gateway derives it, so that its own retry can't charge twice.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Characters of an [`IDEMPOTENCY_KEY`].
pub const MAX_IDEMPOTENCY_KEY: usize = 255;

/// The body of [`PROCESS_PAYMENT`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewPayment {
    /// The order to pay; an answer that repeats an earlier one has that one's order id.
    pub order_id: Uuid,
    /// Who pays.
    #[serde(deserialize_with = "object")]
    pub customer: Customer,
    /// What for.
    #[serde(deserialize_with = "objects")]
    pub items: Vec<Item>,
    /// How much: a decimal string.
    pub amount: String,
    /// Of what.
    pub currency: Currency,
}

impl NewPayment {
    /// What is wrong with it beyond its types.
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
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How much: a decimal string.
    pub amount: String,
    /// Of what.
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

/// How a payment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The money is ours.
    Succeeded,
    /// It is not, and asking again won't change that.
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

/// Where the event of a payment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventState {
    /// In the outbox.
    Pending,
    /// With the broker.
    Published,
}
