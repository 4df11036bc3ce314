//! One system under one fault after the other, each a round of orders that is judged for itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::sleep;

use super::{
    catalogue::Named,
    checker::{self, verdict::Verdict},
    databases::Databases,
    evidence::{self, Evidence},
    history::{Backlog, Email, History, Operation, Recovery},
    load::{Clients, Pace},
    nemesis,
    peaks::{self, Peaks},
    plan::{Plan, Twist},
    report::Row,
    scene::Scene,
    seen::Watch,
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

/// The conditions of each round.
#[derive(Clone, Debug)]
pub(crate) struct Conditions {
    /// The load.
    pub(crate) pace: Pace,
    /// Milliseconds of load before the fault, and after it.
    pub(crate) pause: Range<u64>,
    /// Orders that are accepted at least.
    pub(crate) orders: usize,
    /// How long the backlog may take to drain.
    pub(crate) patience: Duration,
}

/// A run of faults.
pub(crate) struct Rounds {
    system: System,
    seed: u64,
    conditions: Conditions,
    round: usize,
    /// How often each fault was inflicted.
    times: BTreeMap<&'static str, u64>,
    evidence: Evidence,
    /// The histories of all rounds as one, and the violations that were reported.
    whole: Option<History>,
    reported: BTreeSet<String>,
}

impl Rounds {
    /// A run on this system.
    pub(crate) fn new(system: System, seed: u64, conditions: Conditions) -> Self {
        let (evidence, reported) = (Evidence::default(), BTreeSet::new());
        Self { system, seed, conditions, round: 0, times: BTreeMap::new(), evidence, whole: None, reported }
    }

    /// Inflicts a fault under load, heals it, and judges the history.
    ///
    /// # Errors
    /// When the fault cannot be inflicted or healed, or the system no longer answers.
    pub(crate) async fn run(&mut self, named: Named) -> Result<Row> {
        let databases = Databases::of(&named.1, self.system.stack.dir()).await?;
        self.system.move_to(databases).await?;
        let (mut history, inflicted) = self.observe(named, None).await?;
        inflicted?;
        self.ask_orders(&mut history).await?;
        self.system.move_to(Databases::Files).await?;
        let row = Row::new(named.0, &checker::check(&history), recovered(&history)).with(&history);
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
        whole.emails.extend(self.late_emails());
        let mut verdict = checker::check(&whole);
        verdict.violations.retain(|violation| !self.reported.contains(&violation.to_string()));
        let late = Verdict { violations: verdict.violations, ..Verdict::default() };
        (!late.violations.is_empty()).then(|| Row::new("afterwards", &late, None))
    }

    /// Adds the records of the accepted orders to a history.
    ///
    /// # Errors
    /// When the gateway does not answer.
    pub(crate) async fn ask_orders(&self, history: &mut History) -> Result<()> {
        evidence::ask_orders(&self.system, history).await
    }

    /// The e-mails to customers of earlier rounds that have come since the last call.
    pub(crate) fn late_emails(&mut self) -> Vec<Email> {
        self.evidence.late_emails(&self.system)
    }

    /// Inflicts a fault under load and heals it, and collects what is seen of it but for the records of the orders.
    /// Those of the `previous` round are asked for while the load of this one has begun. Beside the history it returns
    /// whether the fault could be inflicted.
    ///
    /// # Errors
    /// When the system no longer answers.
    pub(crate) async fn observe(
        &mut self,
        (name, fault): Named,
        previous: Option<&mut History>,
    ) -> Result<(History, Result<()>)> {
        self.round += 1;
        let Conditions { pace, pause, orders, .. } = self.conditions.clone();
        let tag = format!("{:x}-{}", self.seed, self.round);
        // Of the name, so that a fault alone has the schedule that it has among others; and other times have another one.
        let times = self.times.entry(name).or_default();
        let seed = name
            .bytes()
            .fold(self.seed.wrapping_add(*times), |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(PRIME));
        *times += 1;
        let clients = Clients::new(&self.system.stack.gateway_url())?;
        let (peaks, watch) = (Peaks::start(), Watch::start(self.system.stack.layout())?);
        let load = clients.start(Plan::new(seed, &tag), pace);
        if let Some(previous) = previous {
            evidence::ask_orders(&self.system, previous).await?;
        }
        let random = fastrand::Rng::with_seed(seed);
        let mut scene = Scene { system: &mut self.system, load: &load, random };
        scene.wait(pause.clone()).await;
        let inflicted = nemesis::inflict(&mut scene, (name, fault)).await;
        if inflicted.is_err() {
            scene.system.heal().await?;
        }
        let healed = Instant::now();

        let mut fresh = Plan::new(seed, &format!("{tag}-fresh")).draft(Twist::None);
        while fresh.operation.settled().is_none() && healed.elapsed() < MAX_ANSWER {
            clients.ask(&mut fresh).await;
            sleep(PAUSE).await;
        }
        sleep(Duration::from_millis(fastrand::Rng::with_seed(seed).u64(pause))).await;
        while load.accepted() < orders && healed.elapsed() < MAX_LOAD {
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
        // Their connections end.
        drop(clients);
        let recovery = Recovery { healed, first_order, backlog };
        let mut history = self.evidence.collect(&mut self.system, operations, recovery).await?;
        history.footprints = peaks.stop();
        history.at_rest = peaks::current().into_iter().map(|(_, footprint)| footprint).collect();
        let (shown, alarms) = watch.stop();
        history.signals.splice(..0, shown);
        history.alarms = alarms;
        history.hidden = fault.hidden();
        history.clients = pace.clients + fault.more_clients();
        // Faster than orders are placed: else each round would be longer than the last.
        history.asking = (pace.clients / 2).max(1);
        Ok((history, inflicted))
    }

    /// Waits until the backlog is empty; returns what is left of it after `patience`.
    async fn drain(&mut self, operations: &[Operation]) -> Result<Backlog> {
        let customers = || operations.iter().filter(|one| one.settled().is_some()).map(|one| &one.recipient);
        let deadline = Instant::now() + self.conditions.patience;
        let mut quiet: Option<Instant> = None;
        loop {
            let backlog = self.system.backlog().await?;
            if backlog.is_empty() {
                self.evidence.gather_emails(&self.system);
                let since = quiet.get_or_insert_with(Instant::now);
                if customers().all(|customer| self.evidence.is_served(customer)) || since.elapsed() > QUIET {
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
        let late = self.late_emails();
        let Some(whole) = &mut self.whole else {
            self.whole = Some(history);
            return;
        };
        whole.operations.extend(history.operations);
        whole.orders.extend(history.orders);
        whole.explained.extend(history.explained);
        whole.kills.extend(history.kills);
        whole.alarms.extend(history.alarms);
        whole.emails.extend(history.emails.into_iter().chain(late));
        for (order, times) in history.declared {
            *whole.declared.entry(order).or_default() += times;
        }
    }
}

/// Seconds from the end of the fault until the first new order and all orders before it had their e-mails.
pub(crate) fn recovered(history: &History) -> Option<f64> {
    let Recovery { healed, first_order, .. } = history.recovery;
    let waited_for = healed + first_order?;
    let mut served: BTreeMap<&str, Instant> = BTreeMap::new();
    for email in &history.emails {
        for recipient in &email.to {
            served.entry(recipient).or_insert(email.at);
        }
    }
    let mut last = Duration::ZERO;
    for operation in &history.operations {
        if operation.settled_at().is_some_and(|at| at <= waited_for) {
            let at = served.get(operation.recipient.as_str())?;
            last = last.max(at.saturating_duration_since(healed));
        }
    }
    Some(last.as_secs_f64())
}
