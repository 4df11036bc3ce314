//! Reading an order out of the body of a request.

use std::collections::HashSet;

use payment_api::{Currency, Customer, Email, Item, MAX_ITEMS, Money, check_sku};
use service::problem::Problem;

use crate::json::{Cursor, Document, Errors};

/// Pieces of one article.
const MAX_QUANTITY: u32 = 1000;
/// The total of one order, in whole units of any currency.
const MAX_TOTAL: i64 = 1_000_000;

/// A valid order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The customer who orders.
    pub customer: Customer,
    /// The items, each SKU once.
    pub items: Vec<Item>,
    /// The sum of the items.
    pub total: Money,
}

impl Order {
    /// The body that is used in place of an empty one.
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
        let Document(value) = serde_json::from_slice(body)
            .map_err(|error| Problem::malformed_json(format!("The body is not JSON: {error}.")))?;
        let errors = Errors::default();
        let order = order(&Cursor::root(&value, &errors));
        match (order, errors.into_sorted()) {
            (Some(order), errors) if errors.is_empty() => Ok(order),
            (_, errors) => Err(Problem::validation(errors)),
        }
    }
}

fn order(root: &Cursor<'_>) -> Option<Order> {
    let fields = root.object(&["customer", "items", "currency"])?;
    let customer = fields.get("customer").and_then(|field| field.object(&["email"]));
    let email = customer.and_then(|fields| fields.get("email")).and_then(|field| email(&field));
    let currency = fields.get("currency").and_then(|field| currency(&field));
    let items = fields.get("items").and_then(|field| Some((items(&field, currency)?, field)));
    let ((items, total), field) = items?;
    let total = total?;
    if total.minor() > MAX_TOTAL * 10_i64.pow(total.currency().exponent()) {
        return field.wrong("amount", "is worth more than any order can be");
    }
    Some(Order { customer: Customer { email: email? }, items, total })
}

fn currency(field: &Cursor<'_>) -> Option<Currency> {
    let code = field.text()?;
    code.parse().ok().or_else(|| {
        let known: Vec<&str> = Currency::ALL.into_iter().map(Currency::code).collect();
        field.wrong("currency", format!("must be one of {}", known.join(", ")))
    })
}

fn email(field: &Cursor<'_>) -> Option<Email> {
    let text = field.text()?;
    Email::parse(text).map_or_else(|error| field.wrong("email", error.to_string()), Some)
}

/// The items and their sum; there is no sum where the currency is not known.
fn items(field: &Cursor<'_>, currency: Option<Currency>) -> Option<(Vec<Item>, Option<Money>)> {
    let mut skus = HashSet::new();
    let mut lines = Vec::new();
    for element in &field.array(1..=MAX_ITEMS)? {
        let line = item(element, currency);
        if let Some((Item { sku, .. }, _)) = &line
            && !skus.insert(sku.clone())
        {
            element
                .wrong::<()>("duplicate", "repeats the sku of an earlier item; raise its quantity instead");
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
        Err(error) => field.wrong("amount", error.to_string()),
    }
}

/// One item and its price, which is unknown without a currency.
fn item(field: &Cursor<'_>, currency: Option<Currency>) -> Option<(Item, Option<Money>)> {
    let fields = field.object(&["sku", "quantity", "unitPrice"])?;
    let sku = fields.get("sku").and_then(|field| sku(&field));
    let quantity = fields.get("quantity").and_then(|field| field.integer(1..=MAX_QUANTITY));
    let price = fields.get("unitPrice").and_then(|field| {
        let text = field.text()?;
        let Some(currency) = currency else { return Some((text, None)) };
        let worth = |unit: Money| quantity.map(|quantity| unit.times(quantity)).transpose();
        match Money::parse(text, currency).and_then(worth) {
            Ok(price) => Some((text, price)),
            Err(error) => field.wrong("amount", error.to_string()),
        }
    });
    let (unit_price, price) = price?;
    Some((Item { sku: sku?, quantity: quantity?, unit_price: unit_price.to_owned() }, price))
}

fn sku(field: &Cursor<'_>) -> Option<String> {
    let text = field.text()?;
    check_sku(text).map_or_else(|error| field.wrong("sku", error.to_string()), |()| Some(text.to_owned()))
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
