//! What was found, as a table for people and as JSON for machines.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::style::Style;

/// Orders that are named for each thing that is missing; the rest is counted.
const NAMED: usize = 3;

/// The result of one proof.
pub struct Report {
    pub(super) stack: String,
    pub(super) took: Duration,
    pub(super) checks: Vec<Check>,
}

/// One thing that was looked for.
pub(super) struct Check {
    name: String,
    found: usize,
    expected: usize,
    /// How long each took to be seen, the fastest first; one time where all are seen at once.
    took: Vec<Duration>,
    at_once: bool,
    missing: Missing,
}

/// What was missing or too much, and of which orders.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Missing(BTreeMap<String, Vec<String>>);

impl Missing {
    /// This is missing of an order, or of all together where `order` is empty.
    pub(super) fn add(&mut self, what: &str, order: &str) {
        self.0.entry(what.to_owned()).or_default().push(order.to_owned());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Check {
    /// A check of things that are seen one by one.
    pub(super) fn each(
        name: &str,
        (found, expected): (usize, usize),
        mut took: Vec<Duration>,
        missing: Missing,
    ) -> Self {
        took.sort_unstable();
        Self { name: name.to_owned(), found, expected, took, at_once: false, missing }
    }

    /// A check of what is seen of all of them together, after this time.
    pub(super) fn at_once(name: &str, counts: (usize, usize), took: Duration, missing: Missing) -> Self {
        Self { at_once: true, ..Self::each(name, counts, vec![took], missing) }
    }

    fn is_whole(&self) -> bool {
        self.found == self.expected && self.missing.is_empty()
    }

    /// What is missing or too much, by name.
    #[cfg(test)]
    pub(super) fn problems(&self) -> Vec<&str> {
        self.missing.0.keys().map(String::as_str).collect()
    }

    /// Seconds that this share of all took at most: the nearest rank.
    fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (self.took.len() as f64 * share).ceil() as usize;
        Some(self.took.get(rank.max(1) - 1)?.as_secs_f64())
    }

    /// The first, the middle, nearly all, and the last.
    fn seconds(&self) -> [Option<f64>; 4] {
        let seen = |share| if self.at_once { None } else { self.quantile(share) };
        [seen(0.0), seen(0.5), seen(0.95), self.quantile(1.0)]
    }
}

impl Report {
    /// Whether there is nothing that was missing or too much.
    pub fn is_whole(&self) -> bool {
        self.checks.iter().all(Check::is_whole)
    }

    /// The report as a table for people.
    pub fn table(&self, style: Style) -> String {
        let name = self.checks.iter().map(|check| check.name.chars().count()).max().unwrap_or_default();
        let heads = ["first", "p50", "p95", "last"].map(|head| format!("{head:>8}")).concat();
        let mut text = style.dim(&format!("  {:name$}  {:>11}{heads}", "", "found")) + "\n";
        for check in &self.checks {
            let count = format!("{} / {}", check.found, check.expected);
            let (sign, count) = match check.is_whole() {
                true => (style.good("✓"), format!("{count:>11}")),
                false => (style.bad("✗"), style.bad(&format!("{count:>11}"))),
            };
            let seconds =
                |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2} s"));
            let times = check.seconds().map(|value| format!("{:>8}", seconds(value))).concat();
            text += &format!("{sign} {:name$}  {count}{times}\n", check.name);
        }
        for (what, orders) in self.checks.iter().flat_map(|check| &check.missing.0) {
            text += &style.bad(&format!("\n{what}{}", of(orders)));
        }
        let seconds = self.took.as_secs_f64();
        text += &match self.is_whole() {
            true => style.good(&format!("\nproven on the {} stack in {seconds:.1} s\n", self.stack)),
            false => {
                style.bad(&format!("\n\nNOT proven on the {} stack, after {seconds:.1} s\n", self.stack))
            }
        };
        text
    }

    /// Seconds until the evidence of this name was there, for 95 of 100 orders.
    pub fn p95(&self, name: &str) -> Option<f64> {
        self.checks.iter().find(|check| check.name == name)?.quantile(0.95)
    }

    pub(super) fn json(&self) -> Result<String> {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| {
                let [first, p50, p95, last] = check.seconds();
                json!({
                    "name": check.name,
                    "whole": check.is_whole(),
                    "found": check.found,
                    "expected": check.expected,
                    "first_s": first,
                    "p50_s": p50,
                    "p95_s": p95,
                    "last_s": last,
                    "missing": check.missing.0,
                })
            })
            .collect();
        let report = json!({
            "stack": self.stack,
            "proven": self.is_whole(),
            "took_s": self.took.as_secs_f64(),
            "checks": checks,
        });
        Ok(serde_json::to_string_pretty(&report).context("the report can't be written as JSON")? + "\n")
    }
}

/// ` (20 orders: …)`, and nothing where it is about no order in particular.
fn of(orders: &[String]) -> String {
    match orders {
        [only] if only.is_empty() => String::new(),
        orders if orders.iter().all(String::is_empty) => format!(" ({} times)", orders.len()),
        [only] => format!(" (order {only})"),
        orders => {
            let more = if orders.len() > NAMED { ", …" } else { "" };
            let named = orders[..orders.len().min(NAMED)].join(", ");
            format!(" ({} orders: {named}{more})", orders.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(all: &[u64]) -> Vec<Duration> {
        all.iter().map(|seconds| Duration::from_secs(*seconds)).collect()
    }

    #[test]
    fn a_report_is_whole_when_every_check_found_what_it_expected() {
        let report = |found, missing| Report {
            stack: "local".into(),
            took: Duration::from_secs(7),
            checks: vec![Check::each("trace", (found, 2), seconds(&[3, 1]), missing)],
        };
        let whole = report(2, Missing::default());
        assert!(whole.is_whole());
        assert_eq!(
            whole.table(Style::PLAIN),
            "               found   first     p50     p95    last\n\
             ✓ trace        2 / 2  1.00 s  1.00 s  3.00 s  3.00 s\n\n\
             proven on the local stack in 7.0 s\n"
        );
        // Too many is as wrong as too few.
        assert!(!report(1, Missing::default()).is_whole() && !report(3, Missing::default()).is_whole());
        let mut missing = Missing::default();
        for order in ["o-1", "o-2", "o-3", "o-4"] {
            missing.add("no span", order);
        }
        let broken = report(2, missing);
        assert!(!broken.is_whole());
        let table = broken.table(Style::PLAIN);
        assert!(table.contains("\nno span (4 orders: o-1, o-2, o-3, …)\n\nNOT proven"), "{table}");
    }

    #[test]
    fn quantiles_are_those_of_what_was_seen() {
        let check =
            Check::each("", (0, 0), seconds(&(1..=100).rev().collect::<Vec<_>>()), Missing::default());
        assert_eq!(check.seconds(), [1.0, 50.0, 95.0, 100.0].map(Some));
        assert_eq!(Check::each("", (0, 0), Vec::new(), Missing::default()).seconds(), [None; 4]);
    }

    #[test]
    fn machines_get_names_numbers_and_orders() {
        let mut missing = Missing::default();
        missing.add("no e-mail", "o-1");
        let checks = vec![Check::each("e-mail", (1, 2), seconds(&[2]), missing)];
        let report = Report { stack: "lgtm".into(), took: Duration::from_secs(3), checks };
        let json: Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(
            (&json["stack"], &json["proven"], &json["took_s"]),
            (&json!("lgtm"), &json!(false), &json!(3.0))
        );
        let check = json!({
            "name": "e-mail", "whole": false, "found": 1, "expected": 2,
            "first_s": 2.0, "p50_s": 2.0, "p95_s": 2.0, "last_s": 2.0, "missing": {"no e-mail": ["o-1"]},
        });
        assert_eq!(json["checks"], json!([check]));
    }
}
