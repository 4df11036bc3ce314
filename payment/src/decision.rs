//! The rules by which a payment is decided. The same payment is decided the same way every time.

use payment_api::Money;
use payment_api::http::Outcome;
use service::simulation::{happens, unit_interval};
use uuid::Uuid;

use crate::simulation::Simulation;

/// The rules of this deployment.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The simulated processor.
    pub simulation: Simulation,
    /// Largest amount that is not declined, in whole units.
    pub limit: u32,
    /// Payments that may be in flight at once.
    pub max_in_flight: u32,
    /// Events that may wait for the broker.
    pub outbox_limit: u32,
}

/// A decision, with the reason of a decline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The outcome.
    pub outcome: Outcome,
    /// The reason of a decline, in words for the customer.
    pub reason: Option<&'static str>,
}

impl Rules {
    /// Decides the payment of `amount` for `order`.
    pub fn decide(&self, order: Uuid, amount: Money) -> Decision {
        let limit = i64::from(self.limit) * 10_i64.pow(amount.currency().exponent());
        let reason = if amount.minor() > limit {
            Some("The amount is over the limit of the account.")
        } else if unit_interval(order) < self.simulation.decline_rate {
            Some("The account has insufficient funds.")
        } else {
            None
        };
        let outcome = if reason.is_some() { Outcome::Declined } else { Outcome::Succeeded };
        Decision { outcome, reason }
    }

    /// Whether this attempt fails; the next one may succeed.
    pub fn fails(&self) -> bool {
        happens(self.simulation.failure_rate)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use payment_api::Currency;

    use super::*;

    fn rules(decline_rate: f64) -> Rules {
        let simulation = Simulation { latency: Duration::ZERO, decline_rate, failure_rate: 0.0 };
        Rules { simulation, limit: 100, max_in_flight: 1, outbox_limit: 1 }
    }

    #[test]
    fn the_limit_is_in_whole_units() {
        let rules = rules(0.0);
        for (text, currency, outcome) in [
            ("100.00", Currency::Usd, Outcome::Succeeded),
            ("100.01", Currency::Usd, Outcome::Declined),
            ("100", Currency::Jpy, Outcome::Succeeded),
            ("101", Currency::Jpy, Outcome::Declined),
        ] {
            let amount = Money::parse(text, currency).unwrap();
            assert_eq!(rules.decide(Uuid::now_v7(), amount).outcome, outcome, "{text} {currency}");
        }
    }

    #[test]
    fn a_decline_rate_declines_its_share_of_orders() {
        let amount = Money::parse("1", Currency::Usd).unwrap();
        let orders: Vec<Uuid> = (0..2000).map(|_| Uuid::now_v7()).collect();
        let declined = |order: &&Uuid| rules(0.3).decide(**order, amount).outcome == Outcome::Declined;
        let first: Vec<_> = orders.iter().filter(declined).collect();
        let second: Vec<_> = orders.iter().filter(declined).collect();
        assert_eq!(first, second);
        assert!((450..750).contains(&first.len()), "{} of 2000 declined at 0.3", first.len());
        assert!(orders.iter().all(|o| rules(0.0).decide(*o, amount).outcome == Outcome::Succeeded));
        assert!(orders.iter().all(|o| rules(1.0).decide(*o, amount).outcome == Outcome::Declined));
    }
}
