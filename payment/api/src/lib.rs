//! The contract of payment: what others may send to it, and what it sends to others. No I/O, no runtime, no framework.
//!
//! JSON with camelCase names. Amounts are decimal strings, never floats: `"99.99"`. Events have the fields of CloudEvents.
//! Changes are additive; an incompatible event gets a new routing key.

pub mod event;
pub mod http;
pub mod topology;

mod email;
mod money;
mod object;
mod rules;

pub use email::{Email, NotAnAddress};
pub use money::{Currency, Money, MoneyError};
pub use rules::{Flaw, MAX_ITEMS, MAX_SKU, NotAnSku, check_sku};

use serde::{Deserialize, Serialize};

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Customer {
    /// The address of the receipt.
    pub email: Email,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Item {
    /// The article.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = rules::LINE, "maxLength" = rules::MAX_LINE)))]
    pub sku: String,
    /// The number of pieces.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub quantity: u32,
    /// The price of one piece, a decimal string.
    #[cfg_attr(feature = "schema", schemars(extend("pattern" = rules::AMOUNT)))]
    pub unit_price: String,
}
