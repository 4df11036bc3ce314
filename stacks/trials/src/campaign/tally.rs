//! The sums over all rounds.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::faults::report::Row;

/// Violations to keep as texts; the others are counted.
const MAX_TEXTS: usize = 100;

/// The rounds of one fault, or of all.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sum {
    pub(super) times: usize,
    pub(super) accepted: usize,
    pub(super) lost: usize,
    pub(super) doubled: usize,
    pub(super) uncertain: usize,
    pub(super) slowest_recovery_s: f64,
    pub(super) most_threads: usize,
    pub(super) most_descriptors: usize,
    pub(super) most_memory_mib: u64,
}

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) all: Sum,
    pub(super) faults: BTreeMap<String, Sum>,
    pub(super) violations: usize,
    pub(super) texts: Vec<String>,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        self.times += 1;
        self.accepted += row.accepted;
        self.lost += row.lost;
        self.doubled += row.doubled;
        self.uncertain += row.uncertain;
        self.slowest_recovery_s = self.slowest_recovery_s.max(row.recovered_s.unwrap_or_default());
        self.most_threads = self.most_threads.max(row.threads);
        self.most_descriptors = self.most_descriptors.max(row.descriptors);
        self.most_memory_mib = self.most_memory_mib.max(row.memory_mib);
    }
}

impl Tally {
    /// Adds a round.
    pub(super) fn add(&mut self, row: Row) {
        self.all.add(&row);
        self.faults.entry(row.fault.clone()).or_default().add(&row);
        for violation in row.violations {
            self.note(format!("{}: {violation}", row.fault));
        }
    }

    /// Adds violations by e-mails that came late.
    pub(super) fn late(&mut self, violations: Vec<String>) {
        self.all.doubled += violations.len();
        violations.into_iter().for_each(|violation| self.note(violation));
    }

    /// Adds a violation.
    pub(super) fn note(&mut self, violation: String) {
        self.violations += 1;
        if self.texts.len() < MAX_TEXTS {
            self.texts.push(violation);
        }
    }

    /// The sums as one phrase.
    pub(super) fn brief(&self, elapsed: Duration) -> String {
        let Sum { times, accepted, lost, doubled, uncertain, .. } = self.all;
        let seconds = elapsed.as_secs_f64();
        let rate = accepted as f64 / seconds.max(1.0);
        let violations = match self.violations {
            0 => String::new(),
            many => format!(", {many} VIOLATIONS, first {}", self.texts[0]),
        };
        format!(
            "{:.1} min: {times} faults judged, {accepted} accepted ({rate:.0}/s), {lost} lost, {doubled} doubled, \
             {uncertain} uncertain{violations}",
            seconds / 60.0
        )
    }
}
