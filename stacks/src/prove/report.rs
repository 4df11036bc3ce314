//! The result of a proof: a table for people, JSON for machines.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::{
    latencies::Latencies,
    style::Style,
    table::{Cell, Table},
};

/// Orders named for each missing thing; the others are counted.
const MAX_NAMED: usize = 3;

/// The result of one proof.
pub struct Report {
    pub(super) stack: &'static str,
    pub(super) took: Duration,
    pub(super) checks: Vec<Check>,
}

/// The result for one kind of evidence.
pub(super) struct Check {
    name: String,
    found: usize,
    expected: usize,
    /// From the answer to each order until the evidence was found; one time where it is found for all orders at once.
    took: Vec<Duration>,
    at_once: bool,
    missing: Missing,
}

/// What was missing or too much, with the orders concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Missing(BTreeMap<String, Vec<String>>);

impl Missing {
    /// Adds what an order lacks; `order` is empty where it is about all orders together.
    pub(super) fn add(&mut self, what: &str, order: &str) {
        self.0.entry(what.to_owned()).or_default().push(order.to_owned());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Check {
    /// A check with a time for each order.
    pub(super) fn each(
        name: &str,
        (found, expected): (usize, usize),
        took: Vec<Duration>,
        missing: Missing,
    ) -> Self {
        Self { name: name.to_owned(), found, expected, took, at_once: false, missing }
    }

    /// A check with one time for all orders.
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

    /// Seconds for the first order, the median, 95 % and the last one.
    fn seconds(&self) -> [Option<f64>; 4] {
        let mut latencies = Latencies::new().ok();
        if let Some(latencies) = &mut latencies {
            self.took.iter().for_each(|took| latencies.record(*took));
        }
        let quantile = |share| Some(latencies.as_ref()?.quantile(share)?.as_secs_f64());
        let each = |share| if self.at_once { None } else { quantile(share) };
        [each(0.0), each(0.5), each(0.95), quantile(1.0)]
    }
}

impl Report {
    /// True if nothing was missing or too much.
    pub fn is_whole(&self) -> bool {
        self.checks.iter().all(Check::is_whole)
    }

    /// The table, what is missing, and the verdict.
    pub fn table(&self, style: Style) -> String {
        let mut table = Table::new(style, &["", ">found", ">first", ">p50", ">p95", ">last"]);
        for check in &self.checks {
            let count = format!("{} / {}", check.found, check.expected);
            let (name, found) = match check.is_whole() {
                true => (Cell::good(format!("✓ {}", check.name)), Cell::plain(count)),
                false => (Cell::bad(format!("✗ {}", check.name)), Cell::bad(count)),
            };
            let seconds =
                |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2} s"));
            let times = check.seconds().map(|value| Cell::plain(seconds(value)));
            table.row([name, found].into_iter().chain(times));
        }
        let mut text = table.text();
        for (what, orders) in self.checks.iter().flat_map(|check| &check.missing.0) {
            text += &style.bad(&format!("\n{what}{}", of(orders)));
        }
        let (stack, seconds) = (self.stack, self.took.as_secs_f64());
        text += &match self.is_whole() {
            true => style.good(&format!("\nproven on the {stack} stack in {seconds:.1} s\n")),
            false => {
                let verdict = format!("\n\nNOT proven on the {stack} stack, after {seconds:.1} s");
                style.bad(&verdict) + "; `make logs ORDER=<id>` and `make trace ORDER=<id>` show one order\n"
            }
        };
        text
    }

    /// Seconds until the evidence with this name was found for 95 % of the orders.
    pub fn p95(&self, name: &str) -> Option<f64> {
        let check = self.checks.iter().find(|check| check.name == name)?;
        let [_, _, p95, last] = check.seconds();
        p95.or(last)
    }

    /// The result for machines.
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
        Ok(serde_json::to_string_pretty(&report).context("cannot write the report as JSON")? + "\n")
    }
}

/// ` (20 orders: …)`, or nothing where it is about no single order.
fn of(orders: &[String]) -> String {
    match orders {
        [only] if only.is_empty() => String::new(),
        orders if orders.iter().all(String::is_empty) => format!(" ({} times)", orders.len()),
        [only] => format!(" (order {only})"),
        orders => {
            let more = if orders.len() > MAX_NAMED { ", …" } else { "" };
            let named = orders[..orders.len().min(MAX_NAMED)].join(", ");
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
    fn a_report_is_whole_if_every_check_found_all() {
        let report = |found, missing| Report {
            stack: "local",
            took: Duration::from_secs(7),
            checks: vec![Check::each("trace", (found, 2), seconds(&[3, 1]), missing)],
        };
        let whole = report(2, Missing::default());
        assert!(whole.is_whole());
        assert_eq!(
            whole.table(Style::PLAIN),
            "         found   first     p50     p95    last\n\
             ✓ trace  2 / 2  1.00 s  1.00 s  3.00 s  3.00 s\n\n\
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
    fn times_are_the_first_the_median_95_percent_and_the_last() {
        let check =
            Check::each("", (0, 0), seconds(&(1..=100).rev().collect::<Vec<_>>()), Missing::default());
        assert_eq!(check.seconds(), [1.0, 50.0, 95.0, 100.0].map(Some));
        assert_eq!(Check::each("", (0, 0), Vec::new(), Missing::default()).seconds(), [None; 4]);
    }

    #[test]
    fn json_has_names_numbers_and_orders() {
        let mut missing = Missing::default();
        missing.add("no e-mail", "o-1");
        let checks = vec![Check::each("e-mail", (1, 2), seconds(&[2]), missing)];
        let report = Report { stack: "lgtm", took: Duration::from_secs(3), checks };
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
