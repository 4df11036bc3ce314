//! One system, broken in one way after the other, and judged after each.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    catalogue::Named,
    checker::{self, Verdict},
    evidence::{self, Evidence},
    history::{Backlog, History, Operation, Recovery},
    load::Clients,
    mutants::Mutant,
    nemesis::{Fault, Nemesis},
    plan::{Plan, Twist},
    report::Row,
    system::System,
};

/// After a fault, until every client knows what became of its order.
const ANSWERS: Duration = Duration::from_secs(30);
/// After a fault, until the clients have placed all their orders.
const LOAD: Duration = Duration::from_secs(20);
/// Nothing is under way any more when nothing was for so long: gauges may be a second old.
const QUIET: Duration = Duration::from_secs(3);
/// How long the system may take to work off what it has accepted.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for one that has a bug, and may never get there.
const IMPATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Spreads the letters of a name over a seed (FNV-1a).
const PRIME: u64 = 0x0100_0000_01b3;
const BUGS: &str = "SABOTAGE_BUGS";
/// How many customers ask again after the fault although they were answered.
const ASKED_AGAIN: usize = 10;

/// A run of faults.
pub(crate) struct Campaign {
    system: System,
    seed: u64,
    /// How many orders are to be accepted while a fault is there.
    orders: usize,
    patience: Duration,
    round: usize,
    evidence: Evidence,
    /// All rounds as one, and what was wrong in them.
    whole: Option<History>,
    reported: BTreeSet<String>,
}

impl Campaign {
    /// A run on this system.
    pub(crate) fn new(system: System, seed: u64, orders: usize) -> Self {
        let (evidence, reported) = (Evidence::default(), BTreeSet::new());
        Self { system, seed, orders, patience: PATIENCE, round: 0, evidence, whole: None, reported }
    }

    /// Inflicts a fault under load, heals it, and judges what was seen.
    ///
    /// # Errors
    /// When the fault could not be inflicted or healed, or the system does not answer any more.
    pub(crate) async fn run(&mut self, named: Named) -> Result<Row> {
        if matches!(named.1, Fault::DiskFull) {
            self.system.move_to_small_disk().await?;
        }
        let history = self.observe(named).await?;
        self.system.leave_small_disk().await?;
        let row = Row::new(named.0, &checker::check(&history), recovered(&history));
        self.reported.extend(row.violations.iter().cloned());
        self.remember(history);
        Ok(row)
    }

    /// The same with a bug in a service, on a system that remembers nothing of the bugs before.
    ///
    /// # Errors
    /// As above.
    pub(crate) async fn run_mutant(&mut self, mutant: &Mutant, fault: Named) -> Result<Row> {
        self.patience = IMPATIENCE;
        self.system.begin_anew(&[(BUGS, Some(mutant.bug))]).await?;
        self.run(fault).await
    }

    /// Judges all rounds as one: what came when its round had been judged already.
    pub(crate) fn afterwards(&mut self) -> Option<Row> {
        let mut whole = self.whole.take()?;
        whole.emails = evidence::emails(&self.system);
        let mut verdict = checker::check(&whole);
        verdict.violations.retain(|violation| !self.reported.contains(&violation.to_string()));
        let late = Verdict { violations: verdict.violations, ..Verdict::default() };
        (!late.violations.is_empty()).then(|| Row::new("afterwards", &late, None))
    }

    async fn observe(&mut self, (name, fault): Named) -> Result<History> {
        self.round += 1;
        let seed = name.bytes().fold(self.seed, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(PRIME));
        let tag = format!("{:x}-{}", self.seed, self.round);
        let clients = Clients::new(&self.system.stack.gateway_url())?;
        let load = clients.start(Plan::new(seed, &tag));
        let dice = fastrand::Rng::with_seed(seed);
        Nemesis { system: &mut self.system, load: &load, dice }.inflict((name, fault)).await?;
        let healed = Instant::now();

        let mut fresh = Plan::new(seed, &format!("{tag}-fresh")).draft(Twist::None);
        while fresh.operation.settled().is_none() && healed.elapsed() < ANSWERS {
            clients.ask(&mut fresh).await;
            sleep(PAUSE).await;
        }
        while load.accepted() < self.orders && healed.elapsed() < LOAD {
            sleep(PAUSE).await;
        }
        let mut drafts = load.stop().await;
        clients.resolve(&mut drafts, ANSWERS).await;
        for draft in drafts.iter_mut().filter(|draft| draft.operation.settled().is_some()).take(ASKED_AGAIN) {
            clients.ask(draft).await;
        }
        let first_order = fresh.operation.settled_at().map(|at| at - healed);
        drafts.push(fresh);
        let operations: Vec<Operation> = drafts.into_iter().map(|draft| draft.operation).collect();
        let backlog = self.drain(&operations).await?;
        let recovery = Recovery { healed, first_order, backlog };
        self.evidence.collect(&mut self.system, operations, recovery).await
    }

    /// Waits until nothing is under way any more; what is, when that takes too long.
    async fn drain(&self, operations: &[Operation]) -> Result<Backlog> {
        let customers = || operations.iter().filter(|one| one.settled().is_some()).map(|one| &one.recipient);
        let deadline = Instant::now() + self.patience;
        let mut quiet: Option<Instant> = None;
        loop {
            let backlog = self.system.backlog().await?;
            if backlog.is_empty() {
                let served: BTreeSet<String> =
                    self.evidence.news(&self.system).into_iter().flat_map(|email| email.to).collect();
                let since = quiet.get_or_insert_with(Instant::now);
                if customers().all(|customer| served.contains(customer)) || since.elapsed() > QUIET {
                    return Ok(Backlog::default());
                }
            } else {
                quiet = None;
                if Instant::now() > deadline {
                    return Ok(Backlog(backlog));
                }
            }
            sleep(PAUSE).await;
        }
    }

    fn remember(&mut self, history: History) {
        let Some(whole) = &mut self.whole else {
            self.whole = Some(history);
            return;
        };
        whole.operations.extend(history.operations);
        whole.orders.extend(history.orders);
        for (order, times) in history.declared {
            *whole.declared.entry(order).or_default() += times;
        }
    }
}

/// Seconds from the end of the fault until everything accepted by then had its e-mail, and the order after it, too.
fn recovered(history: &History) -> Option<f64> {
    let Recovery { healed, first_order, .. } = history.recovery;
    let waited_for = healed + first_order?;
    let mut last = Duration::ZERO;
    for operation in &history.operations {
        if operation.settled_at().is_some_and(|at| at <= waited_for) {
            let email = history.emails.iter().find(|email| email.to.contains(&operation.recipient))?;
            last = last.max(email.at.saturating_duration_since(healed));
        }
    }
    Some(last.as_secs_f64())
}
