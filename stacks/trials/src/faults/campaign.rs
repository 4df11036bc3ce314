//! One system under one fault after the other, judged after each.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    catalogue::Named,
    checker::{self, verdict::Verdict},
    databases::Databases,
    evidence::{self, Evidence},
    history::{Backlog, History, Operation, Recovery},
    load::Clients,
    nemesis,
    plan::{Plan, Twist},
    report::Row,
    scene::Scene,
    system::System,
};

/// From the end of a fault until each client has a clear answer.
const MAX_ANSWER: Duration = Duration::from_secs(30);
/// From the end of a fault until enough orders are accepted.
const MAX_LOAD: Duration = Duration::from_secs(20);
/// The backlog is empty if all gauges were zero for so long: a gauge may be a second old.
const QUIET: Duration = Duration::from_secs(3);
/// Between two polls.
const PAUSE: Duration = Duration::from_millis(50);
/// Spreads the letters of a name over a seed (FNV-1a).
const PRIME: u64 = 0x0100_0000_01b3;
/// How many clients repeat an answered request after the fault.
const REPEATS: usize = 10;

/// A run of faults.
pub(crate) struct Campaign {
    system: System,
    seed: u64,
    /// Orders to accept during each fault.
    orders: usize,
    /// How long the backlog may take to drain.
    patience: Duration,
    round: usize,
    evidence: Evidence,
    /// The histories of all rounds as one, and the violations that were reported.
    whole: Option<History>,
    reported: BTreeSet<String>,
}

impl Campaign {
    /// A run on this system: so many orders are accepted during each fault, and its backlog drains within `patience`.
    pub(crate) fn new(system: System, seed: u64, orders: usize, patience: Duration) -> Self {
        let (evidence, reported) = (Evidence::default(), BTreeSet::new());
        Self { system, seed, orders, patience, round: 0, evidence, whole: None, reported }
    }

    /// Inflicts a fault under load, heals it, and judges the history.
    ///
    /// # Errors
    /// When the fault cannot be inflicted or healed, or the system no longer answers.
    pub(crate) async fn run(&mut self, named: Named) -> Result<Row> {
        let databases = Databases::of(&named.1, self.system.stack.dir()).await?;
        self.system.move_to(databases).await?;
        let history = self.observe(named).await?;
        self.system.move_to(Databases::Files).await?;
        let row = Row::new(named.0, &checker::check(&history), recovered(&history));
        self.reported.extend(row.violations.iter().cloned());
        self.remember(history);
        Ok(row)
    }

    /// The system.
    pub(crate) fn system(&mut self) -> &mut System {
        &mut self.system
    }

    /// Judges all rounds as one, for e-mails that came after their round was judged.
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
        let random = fastrand::Rng::with_seed(seed);
        nemesis::inflict(&mut Scene { system: &mut self.system, load: &load, random }, (name, fault)).await?;
        let healed = Instant::now();

        let mut fresh = Plan::new(seed, &format!("{tag}-fresh")).draft(Twist::None);
        while fresh.operation.settled().is_none() && healed.elapsed() < MAX_ANSWER {
            clients.ask(&mut fresh).await;
            sleep(PAUSE).await;
        }
        while load.accepted() < self.orders && healed.elapsed() < MAX_LOAD {
            sleep(PAUSE).await;
        }
        let mut drafts = load.stop().await?;
        clients.resolve(&mut drafts, MAX_ANSWER).await;
        for draft in drafts.iter_mut().filter(|draft| draft.operation.settled().is_some()).take(REPEATS) {
            clients.ask(draft).await;
        }
        let first_order = fresh.operation.settled_at().map(|at| at - healed);
        drafts.push(fresh);
        let operations: Vec<Operation> = drafts.into_iter().map(|draft| draft.operation).collect();
        let backlog = self.drain(&operations).await?;
        let recovery = Recovery { healed, first_order, backlog };
        self.evidence.collect(&mut self.system, operations, recovery).await
    }

    /// Waits until the backlog is empty; returns what is left of it after `patience`.
    async fn drain(&self, operations: &[Operation]) -> Result<Backlog> {
        let customers = || operations.iter().filter(|one| one.settled().is_some()).map(|one| &one.recipient);
        let deadline = Instant::now() + self.patience;
        let mut quiet: Option<Instant> = None;
        loop {
            let backlog = self.system.backlog().await?;
            if backlog.is_empty() {
                let served: BTreeSet<String> =
                    self.evidence.new_emails(&self.system).into_iter().flat_map(|email| email.to).collect();
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

/// Seconds from the end of the fault until the first new order and all orders before it had their e-mails.
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
