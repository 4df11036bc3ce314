//! Asks for the evidence of each order until it is found or the time is over.

use std::{
    cell::Cell,
    collections::BTreeMap,
    convert::Infallible,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    evidence::{Evidence, Look},
    orders::{Orders, Placed},
    report::{Check, Missing},
};
use crate::progress::Progress;

/// The shortest time between two rounds; after a slow answer the pause is as long as the answer took.
const PAUSE: Duration = Duration::from_millis(100);

/// The number of findings, for the progress line.
pub(super) struct Tally {
    found: Cell<usize>,
    wanted: usize,
}

impl Tally {
    /// A tally of `wanted` findings.
    pub(super) fn new(wanted: usize) -> Self {
        Self { found: Cell::new(0), wanted }
    }

    /// Shows the tally while it is polled.
    pub(super) async fn show(&self, progress: &mut Progress) -> Infallible {
        loop {
            progress.at(self.found.get(), self.wanted, "traces, log lines and e-mails found");
            sleep(PAUSE).await;
        }
    }
}

/// The findings of one kind of evidence.
pub(super) struct Found<'a> {
    evidence: &'a dyn Evidence,
    /// From the answer to the order until all of it was found, by order.
    seen: BTreeMap<String, Duration>,
    /// What was missing in the last round, by order.
    lacking: BTreeMap<String, Vec<String>>,
}

/// Asks until every order has this evidence, or `within` is over since the last answer.
pub(super) async fn watch<'a>(
    evidence: &'a dyn Evidence,
    orders: &Orders,
    within: Duration,
    tally: &Tally,
) -> Found<'a> {
    let mut findings = Found { evidence, seen: BTreeMap::new(), lacking: BTreeMap::new() };
    loop {
        // In this order: an order placed in between belongs to the next round.
        let over = orders.over();
        let mut open = orders.placed();
        open.retain(|placed| !findings.seen.contains_key(&placed.order.order_id));
        let looked = Instant::now();
        let found = findings.check(&open).await;
        tally.found.set(tally.found.get() + found);
        if over.is_some_and(|over| open.len() == found || over.elapsed() > within) {
            return findings;
        }
        sleep(PAUSE.max(looked.elapsed())).await;
    }
}

impl Found<'_> {
    /// Checks these orders, and returns how many have all of the evidence.
    async fn check(&mut self, open: &[Placed]) -> usize {
        if open.is_empty() {
            return 0;
        }
        let looks = check(self.evidence, open).await;
        let mut found = 0;
        for (placed, Look { lacks, at }) in open.iter().zip(looks) {
            let id = placed.order.order_id.clone();
            if lacks.is_empty() {
                self.lacking.remove(&id);
                self.seen.insert(id, at.saturating_duration_since(placed.at));
                found += 1;
            } else {
                self.lacking.insert(id, lacks);
            }
        }
        found
    }

    /// Checks all orders once more, for the report.
    pub(super) async fn again(mut self, placed: &[Placed]) -> Check {
        let looks = check(self.evidence, placed).await;
        let mut missing = Missing::default();
        for (placed, Look { lacks, .. }) in placed.iter().zip(looks) {
            let id = &placed.order.order_id;
            if !lacks.is_empty() {
                self.seen.remove(id);
            }
            // Evidence that arrived after the deadline counts as missing.
            let lacks = if lacks.is_empty() { self.lacking.remove(id).unwrap_or_default() } else { lacks };
            for what in &lacks {
                missing.add(what, id);
            }
        }
        let took: Vec<Duration> = self.seen.into_values().collect();
        Check::each(self.evidence.name(), (took.len(), placed.len()), took, missing)
    }
}

/// Checks orders. Where the backend fails, every order lacks everything.
async fn check(evidence: &dyn Evidence, placed: &[Placed]) -> Vec<Look> {
    let looks: Result<_> = evidence.check(placed).await;
    looks.unwrap_or_else(|error| {
        let unanswered = |_: &Placed| Look { lacks: vec![format!("{error:#}")], at: Instant::now() };
        placed.iter().map(unanswered).collect()
    })
}
