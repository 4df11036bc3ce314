//! What is ordered, and how each sort of order must be answered.

use anyhow::{Result, ensure};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

/// Which share of the orders is of which sort; the rest is good.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Mix {
    /// Of a hundred orders, those that payment declines
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub declined: u8,
    /// Of a hundred orders, those that are invalid
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub invalid: u8,
}

/// A sort of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// One that is paid.
    Good,
    /// One above payment's limit.
    Declined,
    /// One that is none.
    Invalid,
}

impl Mix {
    pub(super) fn check(self) -> Result<()> {
        let others = u16::from(self.declined) + u16::from(self.invalid);
        ensure!(others <= 100, "of a hundred orders {others} can't be declined or invalid");
        Ok(())
    }

    /// The sort of the next order.
    pub(super) fn choose(self) -> Sort {
        self.sort(fastrand::u8(..100))
    }

    /// What one of the numbers below a hundred stands for.
    fn sort(self, number: u8) -> Sort {
        let Self { declined, invalid } = self;
        match number {
            number if number < declined => Sort::Declined,
            number if number - declined < invalid => Sort::Invalid,
            _ => Sort::Good,
        }
    }
}

impl Sort {
    pub(super) const ALL: [Self; 3] = [Self::Good, Self::Declined, Self::Invalid];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Declined => "declined",
            Self::Invalid => "invalid",
        }
    }

    pub(super) fn order(self) -> Value {
        match self {
            Self::Good => order("BOOK-1", "49.99"),
            Self::Declined => order("YACHT", "450000.00"),
            Self::Invalid => json!({"customer": {"email": "nobody"}, "items": [], "currency": "usd"}),
        }
    }

    /// The answer that it must get.
    pub(super) fn expected(self) -> StatusCode {
        match self {
            Self::Good => StatusCode::CREATED,
            Self::Declined => StatusCode::PAYMENT_REQUIRED,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

fn order(sku: &str, price: &str) -> Value {
    json!({
        "customer": {"email": "load@example.com"},
        "items": [{"sku": sku, "quantity": 2, "unitPrice": price}],
        "currency": "USD",
    })
}

/// Reads an answer to its end; otherwise why it is not the one that it must be, in few different words.
pub(super) async fn judge(sort: Sort, response: Response) -> Result<(), String> {
    let status = response.status();
    let body = response.bytes().await.map_err(|_| format!("{status}, and half an answer"))?;
    if status == sort.expected() {
        return Ok(());
    }
    let problem: Option<Value> = serde_json::from_slice(&body).ok();
    let title = problem
        .as_ref()
        .and_then(|problem| problem["title"].as_str())
        .unwrap_or("without a problem document");
    Err(format!("{}: {title}", status.as_u16()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_orders_have_the_shares_that_were_asked_for() {
        let mix = Mix { declined: 7, invalid: 3 };
        let count = |sort| (0..100).filter(|number| mix.sort(*number) == sort).count();
        assert_eq!(Sort::ALL.map(count), [90, 7, 3]);
        let all = Mix { declined: 0, invalid: 100 };
        assert!((0..100).all(|number| all.sort(number) == Sort::Invalid));
        assert!(all.check().is_ok() && Mix { declined: 1, invalid: 100 }.check().is_err());
    }
}
