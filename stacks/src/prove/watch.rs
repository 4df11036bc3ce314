//! Looks for the evidence of each order until it is there or the time is up.

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

/// Between two looks, at least; a backend that answers slowly is left alone for as long as it took.
const PAUSE: Duration = Duration::from_millis(100);

/// How much was found, for those who wait.
pub(super) struct Tally {
    found: Cell<usize>,
    wanted: usize,
}

impl Tally {
    /// So many things are looked for.
    pub(super) fn new(wanted: usize) -> Self {
        Self { found: Cell::new(0), wanted }
    }

    /// Shows it for as long as it is polled.
    pub(super) async fn show(&self, progress: &mut Progress) -> Infallible {
        loop {
            progress.at(self.found.get(), self.wanted, "traces, log lines and e-mails found");
            sleep(PAUSE).await;
        }
    }
}

/// What was found of one kind of evidence.
pub(super) struct Sighted<'a> {
    evidence: &'a dyn Evidence,
    /// From the answer to the order until all of it was there, by order.
    seen: BTreeMap<String, Duration>,
    /// What was missing at the last look, by order.
    lacking: BTreeMap<String, Vec<String>>,
}

/// Looks until every order has left this evidence, or `within` is over since the last answer.
pub(super) async fn watch<'a>(
    evidence: &'a dyn Evidence,
    orders: &Orders,
    within: Duration,
    tally: &Tally,
) -> Sighted<'a> {
    let mut sighted = Sighted { evidence, seen: BTreeMap::new(), lacking: BTreeMap::new() };
    loop {
        // In this order: what is placed in between is looked at in the next round.
        let over = orders.over();
        let mut open = orders.placed();
        open.retain(|placed| !sighted.seen.contains_key(&placed.order.order_id));
        let looked = Instant::now();
        let found = sighted.look(&open).await;
        tally.found.set(tally.found.get() + found);
        if over.is_some_and(|over| open.len() == found || over.elapsed() > within) {
            return sighted;
        }
        sleep(PAUSE.max(looked.elapsed())).await;
    }
}

impl Sighted<'_> {
    /// Looks at these orders; how many have left all of it.
    async fn look(&mut self, open: &[Placed]) -> usize {
        if open.is_empty() {
            return 0;
        }
        let looks = look(self.evidence, open).await;
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

    /// Looks at all of them once more, and says what there is.
    pub(super) async fn again(mut self, placed: &[Placed]) -> Check {
        let looks = look(self.evidence, placed).await;
        let mut missing = Missing::default();
        for (placed, Look { lacks, .. }) in placed.iter().zip(looks) {
            let id = &placed.order.order_id;
            if !lacks.is_empty() {
                self.seen.remove(id);
            }
            // What came in after the time was up is missing.
            let lacks = if lacks.is_empty() { self.lacking.remove(id).unwrap_or_default() } else { lacks };
            for what in &lacks {
                missing.add(what, id);
            }
        }
        let took: Vec<Duration> = self.seen.into_values().collect();
        Check::each(self.evidence.name(), (took.len(), placed.len()), took, missing)
    }
}

/// Looks at each order. One whose backend does not answer lacks everything.
async fn look(evidence: &dyn Evidence, placed: &[Placed]) -> Vec<Look> {
    let looks: Result<_> = evidence.look(placed).await;
    looks.unwrap_or_else(|error| {
        let unanswered = |_: &Placed| Look { lacks: vec![format!("{error:#}")], at: Instant::now() };
        placed.iter().map(unanswered).collect()
    })
}
