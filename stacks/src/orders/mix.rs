//! The sorts of orders, and how many of each there are.

use anyhow::{Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// The shares of the sorts, in percent; the rest of the orders is good.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Mix {
    /// Percentage of orders above the payment limit
    #[arg(long, default_value_t = 5, value_name = "PERCENT")]
    pub declined: u8,
    /// Percentage of invalid orders
    #[arg(long, default_value_t = 5, value_name = "PERCENT")]
    pub invalid: u8,
    /// Percentage of orders sent twice with one idempotency key
    #[arg(long, default_value_t = 0, value_name = "PERCENT")]
    pub repeated: u8,
}

/// A sort of order, by the answer that it must get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// The gateway's sample order: a request without a body.
    Sample,
    /// An order that is paid.
    Good,
    /// An order above payment's limit.
    Declined,
    /// An order that fails validation.
    Invalid,
    /// A good order sent twice with one idempotency key; both answers must name one order.
    Repeated,
}

impl Mix {
    /// Refuses shares of more than 100 percent.
    ///
    /// # Errors
    /// Names the sum of the shares.
    pub fn check(self) -> Result<()> {
        let sum = u16::from(self.declined) + u16::from(self.invalid) + u16::from(self.repeated);
        ensure!(sum <= 100, "cannot mix orders: the shares add up to {sum} %; lower one of them");
        Ok(())
    }

    /// The sort of the next order, drawn at random.
    pub fn draw(self) -> Sort {
        self.sort(fastrand::u8(..100))
    }

    /// The sort of the order with this number, 0 to 99.
    fn sort(self, number: u8) -> Sort {
        let shares =
            [(self.declined, Sort::Declined), (self.invalid, Sort::Invalid), (self.repeated, Sort::Repeated)];
        let mut end = 0;
        for (share, sort) in shares {
            end += share;
            if number < end {
                return sort;
            }
        }
        Sort::Good
    }
}

impl Sort {
    /// The sorts that a [`Mix`] draws from.
    pub const MIXED: [Self; 4] = [Self::Good, Self::Declined, Self::Invalid, Self::Repeated];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sample => "sample",
            Self::Good => "good",
            Self::Declined => "declined",
            Self::Invalid => "invalid",
            Self::Repeated => "repeated",
        }
    }

    /// The body of the request; the sample order has none.
    pub fn body(self) -> Option<Value> {
        match self {
            Self::Sample => None,
            Self::Good | Self::Repeated => Some(body("load@example.com", ("BOOK-1", 2), "49.99", "USD")),
            Self::Declined => Some(body("load@example.com", ("YACHT", 2), "450000.00", "USD")),
            Self::Invalid => {
                Some(json!({"customer": {"email": "no address"}, "items": [], "currency": "usd"}))
            }
        }
    }

    /// The status that the answer must have.
    pub fn expected(self) -> StatusCode {
        match self {
            Self::Sample | Self::Good | Self::Repeated => StatusCode::CREATED,
            Self::Declined => StatusCode::PAYMENT_REQUIRED,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// The body of a request for one item: a SKU and its quantity, the price of each in this currency.
pub fn body(email: &str, (sku, quantity): (&str, u32), price: &str, currency: &str) -> Value {
    json!({
        "customer": {"email": email},
        "items": [{"sku": sku, "quantity": quantity, "unitPrice": price}],
        "currency": currency,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_orders_have_the_shares_of_the_mix() {
        let mix = Mix { declined: 7, invalid: 3, repeated: 5 };
        let count = |sort| (0..100).filter(|number| mix.sort(*number) == sort).count();
        assert_eq!(Sort::MIXED.map(count), [85, 7, 3, 5]);
        let all = Mix { invalid: 100, ..Mix::default() };
        assert!((0..100).all(|number| all.sort(number) == Sort::Invalid));
        assert!(all.check().is_ok() && Mix { declined: 1, ..all }.check().is_err());
    }
}
