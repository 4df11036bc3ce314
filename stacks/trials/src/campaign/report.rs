//! The result of a campaign: one row, with the slopes of the services.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use stacks::{
    style::Style,
    table::{Cell, Table},
};

use super::{
    args::CampaignArgs,
    draw::left_out,
    growth::{Growth, Slope},
    tally::{Sum, Tally},
};
use crate::faults::catalogue::FAULTS;

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    hours: f64,
    seed: u64,
    /// Orders a second that were to be placed, and that were accepted.
    rate: f64,
    accepted_per_s: f64,
    seconds: f64,
    all: Sum,
    /// The steepest slope of each resource of each service; none if no process lived long enough.
    slopes: Vec<Slope>,
    /// The number of violations, and the first of them.
    violations: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    first_violations: Vec<String>,
    faults: BTreeMap<String, Sum>,
    /// Faults that do not come, with the reason.
    left_out: BTreeMap<&'static str, &'static str>,
}

impl Report {
    /// The result of a campaign that took this time.
    pub(super) fn new(
        args: &CampaignArgs,
        seed: u64,
        took: Duration,
        mut tally: Tally,
        growth: &Growth,
    ) -> Self {
        let slopes = growth.slopes();
        for Slope { service, resource, per_hour, gained, seconds, .. } in
            slopes.iter().filter(|one| one.is_leak)
        {
            tally.note(format!(
                "K13: {service} grows by {per_hour:.0} {resource}/h: {gained:.0} {resource} in {seconds} s at rest"
            ));
        }
        let seconds = took.as_secs_f64();
        let Tally { all, faults, violations, texts } = tally;
        Self {
            hours: args.hours,
            seed,
            rate: args.rate,
            accepted_per_s: all.accepted as f64 / seconds.max(1.0),
            seconds,
            all,
            slopes,
            violations,
            first_violations: texts,
            faults,
            left_out: FAULTS.iter().filter_map(|(name, fault)| Some((*name, left_out(fault)?))).collect(),
        }
    }

    /// True if no invariant is violated, and orders were accepted.
    pub(super) fn is_good(&self) -> bool {
        self.violations == 0 && self.all.accepted > 0
    }

    /// The row, with the slopes and the violations below it.
    pub(super) fn table(&self, style: Style) -> String {
        let columns = [
            "minutes",
            ">orders",
            ">per s",
            ">faults",
            ">lost",
            ">doubled",
            ">uncertain",
            ">recovery",
            ">threads",
            ">descriptors",
            ">MiB",
        ];
        let mut table = Table::new(style, &columns);
        let Sum { times, accepted, lost, doubled, uncertain, slowest_recovery_s, .. } = &self.all;
        table.row([
            Cell::plain(format!("{:.1}", self.seconds / 60.0)),
            Cell::plain(accepted),
            Cell::plain(format!("{:.0}", self.accepted_per_s)),
            Cell::plain(times),
            Cell::plain(lost),
            Cell::plain(doubled),
            Cell::plain(uncertain),
            Cell::plain(format!("{slowest_recovery_s:.1} s")),
            Cell::plain(self.all.most_threads),
            Cell::plain(self.all.most_descriptors),
            Cell::plain(self.all.most_memory_mib),
        ]);
        for service in ["gateway", "payment", "mailer"] {
            let slopes = self.slopes.iter().filter(|slope| slope.service == service);
            let each: Vec<String> =
                slopes.map(|slope| format!("{:+.1} {}/h", slope.per_hour, slope.resource)).collect();
            let each = if each.is_empty() { "no process lived long enough".into() } else { each.join(", ") };
            table.note(Cell::plain(format!("{service}, at rest: {each}")));
        }
        for violation in &self.first_violations {
            table.note(Cell::bad(violation));
        }
        if self.violations > self.first_violations.len() {
            table.note(Cell::bad(format!("and {} more", self.violations - self.first_violations.len())));
        }
        table.text()
    }
}

#[cfg(test)]
mod tests {
    use stacks::process::Process;

    use super::*;
    use crate::faults::history::Footprint;

    fn report(tally: Tally, growth: &Growth) -> Report {
        let args = CampaignArgs { hours: 1.0, seed: None, rate: 400.0, report: "r".into() };
        Report::new(&args, 7, Duration::from_secs(3600), tally, growth)
    }

    fn tally() -> Tally {
        Tally { all: Sum { times: 200, accepted: 1_000_000, ..Sum::default() }, ..Tally::default() }
    }

    #[test]
    fn a_leak_makes_a_bad_report() {
        assert!(report(tally(), &Growth::default()).is_good());
        let mut growth = Growth::default();
        for minute in 0..20 {
            let footprint =
                Footprint { service: "mailer", threads: 11 + minute, files: 50, memory: 30 << 20 };
            let at = Duration::from_secs(60 * minute as u64);
            growth.add(at, vec![(Process { pid: 1, started: 1 }, footprint)]);
        }
        let report = report(tally(), &growth);
        assert!(!report.is_good());
        let table = report.table(Style::PLAIN);
        assert!(table.contains("K13: mailer grows by 60 threads/h"), "{table}");
        assert!(table.contains("gateway, at rest: no process lived long enough"), "{table}");
    }

    #[test]
    fn a_violation_or_no_order_makes_a_bad_report() {
        let mut wrong = tally();
        wrong.note("K1: an order was lost".into());
        assert!(!report(wrong, &Growth::default()).is_good());
        assert!(!report(Tally::default(), &Growth::default()).is_good());
    }

    #[test]
    fn each_fault_that_is_left_out_has_a_reason() {
        let json = serde_json::to_value(report(tally(), &Growth::default())).unwrap();
        assert_eq!(json["left_out"]["payment.before_commit"], "release builds have no crash points");
        assert_eq!(json["accepted_per_s"].as_f64().unwrap().round(), 278.0);
    }
}
