//! The contract of payment: what others may send to it, and what it sends to others.
//!
//! JSON with camelCase names. Amounts are decimal strings, never floats: `"99.99"`. Events wear the names of
//! CloudEvents. Changes are additive; what has to go gets a new routing key.

#[cfg(feature = "auth")]
pub mod auth;
#[cfg(feature = "broker")]
pub mod broker;
pub mod event;
pub mod http;
#[cfg(feature = "broker")]
pub mod redrive;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod topology;

mod email;
mod flaw;
mod money;
mod object;
#[cfg(feature = "broker")]
mod tls;

pub use email::Email;
pub use flaw::Flaw;
pub use money::{Currency, Money, MoneyError};
pub use object::Object;

use serde::{Deserialize, Serialize};

/// Who pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Where the receipt goes.
    pub email: Email,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The article.
    pub sku: String,
    /// How many of it.
    pub quantity: u32,
    /// Price of one, as a decimal string.
    pub unit_price: String,
}
