//! The orders of the clients: an endless stream that a seed determines.

use std::iter;

use serde_json::Value;
use stacks::orders;

use super::history::{Operation, Outcome};

/// The domain of each customer. A signal that contains it leaks an address.
pub(crate) const CANARY: &str = "canary.example";

/// The largest amount that payment accepts, in whole units.
const MAX_AMOUNT: u64 = 10_000;

/// What a client does beside placing its order and repeating the request until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    /// Nothing.
    None,
    /// It repeats a refused request with the same key.
    Insists,
    /// It repeats an answered request with the same key.
    Repeats,
    /// It uses its key for another body.
    Alters,
    /// Another client uses the same key for an order of its own.
    Shares,
}

/// An order to place.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The order, without attempts yet.
    pub(crate) operation: Operation,
    /// The idempotency key.
    pub(crate) key: String,
    /// The `Authorization` of the client, if it sends one.
    pub(crate) client: Option<&'static str>,
    /// What else the client does.
    pub(crate) twist: Twist,
}

impl Draft {
    /// The body of the request.
    pub(crate) fn body(&self) -> Value {
        body(&self.operation.recipient, &self.operation)
    }

    /// Another body: the same order for a customer who never orders.
    pub(crate) fn altered_body(&self) -> Value {
        body(&format!("x{}", self.operation.recipient), &self.operation)
    }
}

fn body(email: &str, operation: &Operation) -> Value {
    orders::body(email, ("BOOK-1", 1), &operation.amount, operation.currency)
}

/// The twists of twenty orders.
const DECK: [(Twist, usize); 5] =
    [(Twist::None, 14), (Twist::Insists, 2), (Twist::Repeats, 2), (Twist::Alters, 1), (Twist::Shares, 1)];

/// The stream of orders during one fault.
#[derive(Debug)]
pub(crate) struct Plan {
    random: fastrand::Rng,
    /// A shuffled deck: with independent draws, a short stream could lack a twist.
    deck: Vec<Twist>,
    tag: String,
    next: u64,
}

impl Plan {
    /// The stream of a seed. Its customers and keys contain `tag`, so that no two streams share one.
    pub(crate) fn new(seed: u64, tag: &str) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), deck: Vec::new(), tag: tag.to_owned(), next: 0 }
    }

    /// The next order, or two of clients that share a key.
    pub(crate) fn draw(&mut self) -> Vec<Draft> {
        if self.deck.is_empty() {
            self.deck.extend(DECK.iter().flat_map(|(twist, number)| iter::repeat_n(*twist, *number)));
            self.random.shuffle(&mut self.deck);
        }
        let twist = self.deck.pop().unwrap_or(Twist::None);
        let first = self.draft(twist);
        if twist != Twist::Shares {
            return vec![first];
        }
        let other = self.draft(Twist::None);
        let other = Draft { key: first.key.clone(), client: Some("Bearer another-client"), ..other };
        vec![first, other]
    }

    /// An order with this twist.
    pub(crate) fn draft(&mut self, twist: Twist) -> Draft {
        let number = self.next;
        self.next += 1;
        let is_declined = self.random.u32(0..25) == 0;
        // Of different exponents: an amount must not be taken for one with two decimal places.
        let currency = self.random.choice(["USD", "EUR", "GBP", "JPY"]).unwrap_or("USD");
        let unit = if currency == "JPY" { 1 } else { 100 };
        // Below the limit in each currency, however many orders there are.
        let small = 100 + number % (MAX_AMOUNT - 100);
        let minor = if is_declined { MAX_AMOUNT * unit + 1 + number } else { small };
        let operation = Operation {
            recipient: format!("o{}-{number}@{CANARY}", self.tag),
            amount: if unit == 1 {
                minor.to_string()
            } else {
                format!("{}.{:02}", minor / unit, minor % unit)
            },
            currency,
            wanted: if is_declined { Outcome::Declined } else { Outcome::Paid },
            attempts: Vec::new(),
            altered: Vec::new(),
        };
        Draft { operation, key: format!("key-{}-{number}", self.tag), client: None, twist }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_stream_has_every_twist() {
        for seed in 0..100 {
            let mut plan = Plan::new(seed, "a");
            let first: Vec<_> = (0..20).flat_map(|_| plan.draw()).map(|draft| draft.twist).collect();
            for twist in [Twist::None, Twist::Insists, Twist::Repeats, Twist::Alters, Twist::Shares] {
                assert!(first.contains(&twist), "{twist:?} is not among the first of seed {seed}");
            }
        }
    }

    #[test]
    fn an_order_is_above_the_limit_only_if_it_must_be_declined() {
        let mut plan = Plan::new(3, "a");
        for _ in 0..30_000 {
            let Operation { amount, wanted, .. } = plan.draft(Twist::None).operation;
            let is_above = amount.parse::<f64>().unwrap() > MAX_AMOUNT as f64;
            assert_eq!(is_above, wanted == Outcome::Declined, "{amount}");
        }
    }

    #[test]
    fn a_seed_determines_orders_with_distinct_customers() {
        let orders = |seed, tag| -> Vec<String> {
            let mut plan = Plan::new(seed, tag);
            (0..500).flat_map(|_| plan.draw()).map(|draft| draft.body().to_string()).collect()
        };
        assert_eq!(orders(7, "a"), orders(7, "a"));
        assert_ne!(orders(7, "a"), orders(8, "a"));
        let mut both = [orders(7, "a"), orders(7, "b")].concat();
        let all = both.len();
        both.sort();
        both.dedup();
        assert_eq!(both.len(), all);
    }
}
