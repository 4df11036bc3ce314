//! What a run comes to: a table for people, and rows for machines.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::checker::Verdict;
use stacks::style::Style;

/// How many violations of one invariant are shown for each fault.
const EXAMPLES: usize = 3;

/// What one fault did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) fault: String,
    /// Orders that were accepted while it was there, and a little after it.
    pub(crate) accepted: usize,
    /// Those among them that are not there, or whose e-mail never came.
    pub(crate) lost: usize,
    /// Those that were done twice.
    pub(crate) doubled: usize,
    /// Those whose e-mail was declared uncertain, and may have come twice.
    pub(crate) uncertain: usize,
    /// From the end of the fault, when whoever was ended is ready again, until everything accepted by then and one order
    /// more had its e-mail; nothing when that never happened.
    pub(crate) recovered_s: Option<f64>,
    /// What was wrong; none of it may be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) violations: Vec<String>,
}

impl Row {
    /// The row of a fault.
    pub(crate) fn new(fault: &str, verdict: &Verdict, recovered_s: Option<f64>) -> Self {
        let Verdict { accepted, lost, doubled, uncertain, .. } = *verdict;
        let violations = verdict.violations.iter().map(ToString::to_string).collect();
        let recovered_s = recovered_s.map(|seconds| (seconds * 100.0).round() / 100.0);
        Self { fault: fault.to_owned(), accepted, lost, doubled, uncertain, recovered_s, violations }
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// In a few words.
    pub(crate) fn brief(&self) -> String {
        let Self { accepted, lost, doubled, uncertain, .. } = self;
        format!(
            "{accepted} accepted, {lost} lost, {doubled} doubled, {uncertain} uncertain, recovered in {}",
            self.recovered()
        )
    }

    fn recovered(&self) -> String {
        self.recovered_s.map_or_else(|| "-".into(), |seconds| format!("{seconds:.1} s"))
    }
}

/// The table of all rows, with their sum and what was wrong.
pub(crate) fn table(rows: &[Row], style: Style) -> String {
    let line = |fault: &str, cells: [String; 5]| {
        let [accepted, lost, doubled, uncertain, recovered] = cells;
        format!("{fault:<26}{accepted:>9}{lost:>6}{doubled:>9}{uncertain:>11}{recovered:>11}\n")
    };
    let heads = ["accepted", "lost", "doubled", "uncertain", "recovered"].map(str::to_owned);
    let mut text = style.dim(&line("fault", heads));
    for row in rows {
        let counts = [row.accepted, row.lost, row.doubled, row.uncertain].map(|count| count.to_string());
        let [accepted, lost, doubled, uncertain] = counts;
        let line = line(&row.fault, [accepted, lost, doubled, uncertain, row.recovered()]);
        text += &if row.is_good() { line } else { style.bad(&line) };
        text += &examples(&row.violations);
    }
    let sum = |count: fn(&Row) -> usize| rows.iter().map(count).sum::<usize>().to_string();
    let sums =
        [sum(|row| row.accepted), sum(|row| row.lost), sum(|row| row.doubled), sum(|row| row.uncertain)];
    let [accepted, lost, doubled, uncertain] = sums;
    text += &line(&format!("{} faults", rows.len()), [accepted, lost, doubled, uncertain, String::new()]);
    text
}

fn examples(violations: &[String]) -> String {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for violation in violations {
        let invariant = violation.split(':').next().unwrap_or_default();
        groups.entry(invariant).or_default().push(violation);
    }
    let mut text = String::new();
    for (invariant, group) in groups {
        for violation in group.iter().take(EXAMPLES) {
            text += &format!("  {violation}\n");
        }
        if group.len() > EXAMPLES {
            text += &format!("  {invariant}: and {} more\n", group.len() - EXAMPLES);
        }
    }
    text
}

/// Writes the rows as JSON.
pub(crate) fn write(rows: &[Row], file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(rows).context("the rows can't be written as JSON")?;
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::checker::Violation;

    #[test]
    fn a_row_that_is_wrong_shows_examples() {
        let violation = Violation { invariant: "K1", what: "order a was lost".into() };
        let verdict = Verdict { accepted: 9, lost: 7, violations: vec![violation; 7], ..Verdict::default() };
        let rows = [
            Row::new("nothing", &Verdict { accepted: 4, ..Verdict::default() }, Some(0.123)),
            Row::new("kill-payment", &verdict, None),
        ];
        let table = table(&rows, Style::PLAIN);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[1].split_whitespace().collect::<Vec<_>>(),
            ["nothing", "4", "0", "0", "0", "0.1", "s"]
        );
        assert_eq!((lines[3], lines[6]), ("  K1: order a was lost", "  K1: and 4 more"));
        assert_eq!(lines[7].split_whitespace().collect::<Vec<_>>(), ["2", "faults", "13", "7", "0", "0"]);
        let json = serde_json::to_value(&rows).unwrap();
        assert_eq!(json[0]["recovered_s"], 0.12);
        assert_eq!(json[0].get("violations"), None);
    }
}
