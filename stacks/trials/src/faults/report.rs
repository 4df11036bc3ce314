//! The result of a run: a table for people, and rows for machines.

use std::{collections::BTreeMap, fmt::Display};

use serde::Serialize;
use stacks::{
    style::Style,
    table::{Cell, Table},
};

use super::{
    checker::verdict::Verdict,
    history::{Footprint, History},
};

/// Violations of one invariant to show for each fault.
const MAX_EXAMPLES: usize = 3;

/// The result of one fault.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) fault: String,
    /// Orders that were accepted during the fault and shortly after it.
    pub(crate) accepted: usize,
    /// Accepted orders without a record or an e-mail.
    pub(crate) lost: usize,
    /// Accepted orders that were done twice.
    pub(crate) doubled: usize,
    /// Orders whose e-mail was declared uncertain, and may have come twice.
    pub(crate) uncertain: usize,
    /// Seconds from the end of the fault until the first new order and all before it had their e-mails, if they got them.
    pub(crate) recovered_s: Option<f64>,
    /// The most threads of one service at any time.
    pub(crate) threads: usize,
    /// The most open files and sockets of one service.
    pub(crate) descriptors: usize,
    /// The most resident memory of one service, in MiB.
    pub(crate) memory_mib: u64,
    /// The most resources of each service, and those at the end.
    pub(crate) peaks: Vec<Footprint>,
    pub(crate) at_rest: Vec<Footprint>,
    /// The signals that showed it, those that name a cause first.
    pub(crate) seen_in: Vec<String>,
    /// All violations of invariants.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) violations: Vec<String>,
}

impl Row {
    /// The row of a fault.
    pub(crate) fn new(fault: &str, verdict: &Verdict, recovered_s: Option<f64>) -> Self {
        let Verdict { accepted, lost, doubled, uncertain, .. } = *verdict;
        let violations = verdict.violations.iter().map(ToString::to_string).collect();
        let recovered_s = recovered_s.map(|seconds| (seconds * 100.0).round() / 100.0);
        Self {
            fault: fault.to_owned(),
            accepted,
            lost,
            doubled,
            uncertain,
            recovered_s,
            threads: 0,
            descriptors: 0,
            memory_mib: 0,
            peaks: Vec::new(),
            at_rest: Vec::new(),
            seen_in: Vec::new(),
            violations,
        }
    }

    /// The row with the resources and signals of a history.
    pub(crate) fn with(self, history: &History) -> Self {
        let row = self.with_peaks(&history.footprints);
        Self { at_rest: history.at_rest.clone(), seen_in: history.signals.clone(), ..row }
    }

    fn with_peaks(mut self, footprints: &[Footprint]) -> Self {
        let peaks = || footprints.iter();
        self.threads = peaks().map(|peak| peak.threads).max().unwrap_or_default();
        self.descriptors = peaks().map(|peak| peak.files).max().unwrap_or_default();
        self.memory_mib = peaks().map(|peak| peak.memory >> 20).max().unwrap_or_default();
        self.peaks = footprints.to_vec();
        self
    }

    /// True if no invariant is violated.
    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// The row as one phrase.
    pub(crate) fn brief(&self) -> String {
        let Self { accepted, lost, doubled, uncertain, .. } = self;
        format!(
            "{accepted} accepted, {lost} lost, {doubled} doubled, {uncertain} uncertain, recovered in {}{}",
            self.recovered(),
            if self.is_good() { "" } else { ", VIOLATIONS" }
        )
    }

    fn recovered(&self) -> String {
        self.recovered_s.map_or_else(|| "-".into(), |seconds| format!("{seconds:.1} s"))
    }
}

/// The table of all rows, with their sum and their violations.
pub(crate) fn table(rows: &[Row], style: Style) -> String {
    let columns = [
        "fault",
        ">accepted",
        ">lost",
        ">doubled",
        ">uncertain",
        ">recovered",
        ">threads",
        ">descriptors",
        ">MiB",
        "seen in",
    ];
    let mut table = Table::new(style, &columns);
    for row in rows {
        let cell = |text: &dyn Display| if row.is_good() { Cell::plain(text) } else { Cell::bad(text) };
        let Row { fault, accepted, lost, doubled, uncertain, threads, descriptors, memory_mib, .. } = row;
        table.row([
            cell(fault),
            cell(accepted),
            cell(lost),
            cell(doubled),
            cell(uncertain),
            cell(&row.recovered()),
            cell(threads),
            cell(descriptors),
            cell(memory_mib),
            Cell::dim(row.seen_in.first().map_or("-", String::as_str)),
        ]);
        for example in examples(&row.violations) {
            table.note(Cell::plain(example));
        }
    }
    let sum = |count: fn(&Row) -> usize| Cell::plain(rows.iter().map(count).sum::<usize>());
    let sums =
        [sum(|row| row.accepted), sum(|row| row.lost), sum(|row| row.doubled), sum(|row| row.uncertain)];
    table.row([Cell::plain(format!("{} faults", rows.len()))].into_iter().chain(sums));
    table.text()
}

/// Some violations of each invariant.
fn examples(violations: &[String]) -> Vec<String> {
    let mut groups: BTreeMap<&str, Vec<&String>> = BTreeMap::new();
    for violation in violations {
        groups.entry(violation.split(':').next().unwrap_or_default()).or_default().push(violation);
    }
    let mut examples = Vec::new();
    for (invariant, group) in groups {
        examples.extend(group.iter().take(MAX_EXAMPLES).map(|violation| (*violation).clone()));
        if group.len() > MAX_EXAMPLES {
            examples.push(format!("{invariant}: and {} more", group.len() - MAX_EXAMPLES));
        }
    }
    examples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::checker::verdict::Violation;

    #[test]
    fn a_row_that_is_wrong_shows_examples() {
        let violation = Violation { invariant: "K1", what: "order a was lost".into() };
        let verdict = Verdict { accepted: 9, lost: 7, violations: vec![violation; 7], ..Verdict::default() };
        let peak = |service, threads, files| Footprint { service, threads, files, memory: 40 << 20 };
        let peaks = [peak("gateway", 7, 64), peak("payment", 11, 58)];
        let rows = [
            Row::new("nothing", &Verdict { accepted: 4, ..Verdict::default() }, Some(0.123))
                .with_peaks(&peaks),
            Row::new("kill-payment", &verdict, None),
        ];
        let table = table(&rows, Style::PLAIN);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["nothing", "4", "0", "0", "0", "0.1", "s", "11", "64", "40", "-"]
        );
        assert_eq!((lines[3].trim(), lines[6].trim()), ("K1: order a was lost", "K1: and 4 more"));
        assert_eq!(lines[7].split_whitespace().collect::<Vec<_>>(), ["2", "faults", "13", "7", "0", "0"]);
        let json = serde_json::to_value(&rows).unwrap();
        assert_eq!(json[0]["recovered_s"], 0.12);
        assert_eq!(json[0].get("violations"), None);
    }
}
