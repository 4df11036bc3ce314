//! What the clients order: an endless stream that a seed determines.

use std::iter;

use serde_json::{Value, json};

use super::history::{Operation, Outcome};

/// The domain of every customer. It is in no signal, or an address has leaked.
pub(crate) const CANARY: &str = "canary.example";

/// Above this, payment declines; in whole units.
const LIMIT: u64 = 10_000;

/// What a client does beside placing its order and asking again when it was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twist {
    /// Nothing.
    None,
    /// It does not take a refusal for an answer, and asks again with the same key.
    Insists,
    /// It asks again with the same key although it was answered.
    Repeats,
    /// It uses its key for another body.
    Alters,
    /// Another client uses the same key for an order of its own.
    Shares,
}

/// An order that is to be placed.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// What is wanted; without any attempt so far.
    pub(crate) operation: Operation,
    /// The idempotency key.
    pub(crate) key: String,
    /// The `Authorization` of the client, if it sends one.
    pub(crate) client: Option<&'static str>,
    /// What else is done.
    pub(crate) twist: Twist,
}

impl Draft {
    /// The body of its request.
    pub(crate) fn body(&self) -> Value {
        body(&self.operation.recipient, &self.operation)
    }

    /// Another body: the same order for somebody who never orders.
    pub(crate) fn altered_body(&self) -> Value {
        body(&format!("x{}", self.operation.recipient), &self.operation)
    }
}

fn body(email: &str, operation: &Operation) -> Value {
    json!({
        "customer": {"email": email},
        "items": [{"sku": "BOOK-1", "quantity": 1, "unitPrice": operation.amount}],
        "currency": operation.currency,
    })
}

/// How many of twenty orders have each twist.
const DECK: [(Twist, usize); 5] =
    [(Twist::None, 14), (Twist::Insists, 2), (Twist::Repeats, 2), (Twist::Alters, 1), (Twist::Shares, 1)];

/// The stream of orders while one fault is there.
#[derive(Debug)]
pub(crate) struct Plan {
    dice: fastrand::Rng,
    /// Dealt from a shuffled deck: thrown with dice, a twist stays out of a short stream now and then.
    deck: Vec<Twist>,
    tag: String,
    next: u64,
}

impl Plan {
    /// The stream of a seed; `tag` tells its customers from those of other streams.
    pub(crate) fn new(seed: u64, tag: &str) -> Self {
        Self { dice: fastrand::Rng::with_seed(seed), deck: Vec::new(), tag: tag.to_owned(), next: 0 }
    }

    /// The next order, or two when two clients share a key.
    pub(crate) fn draw(&mut self) -> Vec<Draft> {
        if self.deck.is_empty() {
            self.deck.extend(DECK.iter().flat_map(|(twist, number)| iter::repeat_n(*twist, *number)));
            self.dice.shuffle(&mut self.deck);
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

    /// A plain order.
    pub(crate) fn draft(&mut self, twist: Twist) -> Draft {
        let number = self.next;
        self.next += 1;
        let is_declined = self.dice.u32(0..25) == 0;
        let cents = if is_declined { LIMIT * 100 + 1 + number } else { 100 + number };
        let operation = Operation {
            recipient: format!("o{}-{number}@{CANARY}", self.tag),
            amount: format!("{}.{:02}", cents / 100, cents % 100),
            currency: self.dice.choice(["USD", "EUR", "GBP"]).unwrap_or("USD"),
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
    fn however_short_a_stream_is_no_twist_is_left_to_chance() {
        for seed in 0..100 {
            let mut plan = Plan::new(seed, "a");
            let first: Vec<_> = (0..20).flat_map(|_| plan.draw()).map(|draft| draft.twist).collect();
            for twist in [Twist::None, Twist::Insists, Twist::Repeats, Twist::Alters, Twist::Shares] {
                assert!(first.contains(&twist), "{twist:?} is not among the first of seed {seed}");
            }
        }
    }

    #[test]
    fn a_seed_determines_its_orders_and_every_customer_is_another() {
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
