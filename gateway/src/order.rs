//! What an order is, and what is not one. Pure.

use std::collections::HashSet;

use payment_api::{Currency, Customer, Email, Item, MAX_ITEMS, MAX_SKU, Money, NotAnAddress, is_sku};
use service::problem::{FieldError, Problem};

use crate::place::{Notes, Place};
use crate::strict::Strict;

/// Pieces of one article.
const MOST_PIECES: u32 = 1000;
/// No order of this shop is worth more, in whole units of any currency.
const MOST_WORTH: i64 = 1_000_000;

/// A valid order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Who orders.
    pub customer: Customer,
    /// What.
    pub items: Vec<Item>,
    /// For how much.
    pub total: Money,
}

impl Order {
    /// The body that stands in for an empty one.
    pub const SAMPLE: &[u8] = br#"{
        "customer": {"email": "customer@example.com"},
        "items": [{"sku": "SAMPLE-1", "quantity": 1, "unitPrice": "99.99"}],
        "currency": "USD"
    }"#;

    /// Reads the body of a request.
    ///
    /// # Errors
    /// 400 when it is not JSON, 422 with every field that is wrong when it is not an order.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let Strict(value) = serde_json::from_slice(body)
            .map_err(|error| Problem::malformed_json(format!("The body is not JSON: {error}.")))?;
        let notes = Notes::default();
        let order = order(&Place::root(&value, &notes));
        match (order, notes.into_errors()) {
            (Some(order), errors) if errors.is_empty() => Ok(order),
            (_, errors) => Err(Problem::validation(sorted(errors))),
        }
    }
}

fn sorted(mut errors: Vec<FieldError>) -> Vec<FieldError> {
    errors.sort_by(|a, b| a.pointer.cmp(&b.pointer));
    errors
}

fn order(root: &Place<'_>) -> Option<Order> {
    let fields = root.object(&["customer", "items", "currency"])?;
    let customer = fields.get("customer").and_then(|place| place.object(&["email"]));
    let email = customer.and_then(|fields| fields.get("email")).and_then(|place| email(&place));
    let currency = fields.get("currency").and_then(|place| currency(&place));
    let items = fields.get("items").and_then(|place| Some((items(&place, currency)?, place)));
    let ((items, total), place) = items?;
    let total = total?;
    if total.minor() > MOST_WORTH * 10_i64.pow(total.currency().exponent()) {
        return place.wrong("amount", "is worth more than any order can be");
    }
    Some(Order { customer: Customer { email: email? }, items, total })
}

fn currency(place: &Place<'_>) -> Option<Currency> {
    let code = place.text()?;
    code.parse().ok().or_else(|| {
        let known: Vec<&str> = Currency::ALL.into_iter().map(Currency::code).collect();
        place.wrong("currency", format!("must be one of {}", known.join(", ")))
    })
}

fn email(place: &Place<'_>) -> Option<Email> {
    let text = place.text()?;
    Email::parse(text).map_or_else(|error: NotAnAddress| place.wrong("email", error.to_string()), Some)
}

/// The items and what they come to; no sum where the currency is not known.
fn items(place: &Place<'_>, currency: Option<Currency>) -> Option<(Vec<Item>, Option<Money>)> {
    let mut skus = HashSet::new();
    let mut lines = Vec::new();
    let places = place.array(1..=MAX_ITEMS)?;
    for place in &places {
        let line = item(place, currency);
        if let Some((Item { sku, .. }, _)) = &line
            && !skus.insert(sku.clone())
        {
            place.wrong::<()>("duplicate", "repeats the sku of an earlier item; raise its quantity instead");
        }
        lines.push(line);
    }
    let (items, prices): (Vec<_>, Vec<_>) =
        lines.into_iter().collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let mut prices = prices.into_iter();
    let first = prices.next()?;
    let total = prices.try_fold(first, |sum, price| match (sum, price) {
        (Some(sum), Some(price)) => sum.plus(price).map(Some),
        _ => Ok(None),
    });
    match total {
        Ok(total) => Some((items, total)),
        Err(error) => place.wrong("amount", error.to_string()),
    }
}

/// One item and its price, which is unknown without a currency.
fn item(place: &Place<'_>, currency: Option<Currency>) -> Option<(Item, Option<Money>)> {
    let fields = place.object(&["sku", "quantity", "unitPrice"])?;
    let sku = fields.get("sku").and_then(|place| sku(&place));
    let quantity = fields.get("quantity").and_then(|place| place.integer(1..=MOST_PIECES));
    let price = fields.get("unitPrice").and_then(|place| {
        let text = place.text()?;
        let Some(currency) = currency else { return Some((text, None)) };
        let worth = |unit: Money| quantity.map(|quantity| unit.times(quantity)).transpose();
        match Money::parse(text, currency).and_then(worth) {
            Ok(price) => Some((text, price)),
            Err(error) => place.wrong("amount", error.to_string()),
        }
    });
    let (unit_price, price) = price?;
    Some((Item { sku: sku?, quantity: quantity?, unit_price: unit_price.to_owned() }, price))
}

fn sku(place: &Place<'_>) -> Option<String> {
    let text = place.text()?;
    if is_sku(text) {
        return Some(text.to_owned());
    }
    place.wrong("sku", format!("must be 1 to {MAX_SKU} of the characters A-Z a-z 0-9 - _ ."))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
