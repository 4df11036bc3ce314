//! Whether what was seen is right: a pure function from a history to its violations.
//!
//! | invariant | what must hold |
//! |---|---|
//! | K1 | an accepted order is there, with its amount, currency and outcome |
//! | K2 | what was refused, or never asked for, has no effect |
//! | K3 | one operation is one order, whatever is repeated; its key with another body is refused |
//! | K4 | payment and event are there together |
//! | K5 | nothing stays under way; what can't be read is parked, byte by byte |
//! | K6 | one e-mail for each order, to its customer, about its amount; twice only where declared |
//! | K7 | no effect comes before its cause |
//! | K12 | no address and no secret is in any signal |
//! | K13 | memory and files stay within bounds |
//! | K14 | the system comes back by itself, and ends when it is asked to |

mod emails;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use self::emails::Mail;
use super::history::{Answer, Footprint, History, Operation, Outcome};

/// What the gateway answers to a key that belongs to another body.
const KEY_REUSED: &str = "/problems/idempotency-key-reused";
/// Resident memory of one service; they are built for debugging.
const MOST_MEMORY: u64 = 400 << 20;
const MOST_FILES: usize = 1024;
/// From the end of a fault until a new order is accepted.
const FIRST_ORDER: Duration = Duration::from_secs(15);

/// What is wrong, and in the name of which invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The invariant, such as `K1`.
    pub(crate) invariant: &'static str,
    /// What was seen.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// What a history comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Operations that were answered with an order.
    pub(crate) accepted: usize,
    /// Those among them that lack their order or their e-mail.
    pub(crate) lost: usize,
    /// Operations with a second order, or an e-mail too many that nobody has declared.
    pub(crate) doubled: usize,
    /// Orders whose e-mail was declared uncertain.
    pub(crate) uncertain: usize,
    /// Everything that is wrong.
    pub(crate) violations: Vec<Violation>,
}

impl Verdict {
    fn note(&mut self, invariant: &'static str, what: impl Into<String>) {
        self.violations.push(Violation { invariant, what: what.into() });
    }
}

/// Judges a history.
pub(crate) fn check(history: &History) -> Verdict {
    let mut verdict = Verdict { uncertain: history.declared.len(), ..Verdict::default() };
    let mail = Mail::sort(history, &mut verdict);
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for operation in &history.operations {
        let recipient = operation.recipient.as_str();
        let (mut lost, mut doubled) = (false, false);
        match operation.settled() {
            Some((outcome, order)) => {
                verdict.accepted += 1;
                doubled |= repetitions(operation, &mut verdict);
                if outcome != operation.wanted {
                    let wanted = operation.wanted;
                    verdict.note("K1", format!("order {order} was to be {wanted:?} and is {outcome:?}"));
                }
                if let Some(other) = owners.insert(order, recipient) {
                    lost = true;
                    verdict.note("K3", format!("{recipient} was given order {order} of {other}"));
                }
                let is_known = record(history, operation, order, mail.has(recipient), &mut verdict);
                let copies = mail.check(operation, order, history, &mut verdict);
                lost |= !is_known || copies.lost;
                doubled |= copies.doubled;
            }
            None if mail.has(recipient) && operation.is_refused() => {
                verdict.note("K2", format!("{recipient} was refused for certain, and got an e-mail"));
            }
            None if operation.is_refused() => {}
            None => verdict.note("K14", format!("nobody could learn what became of {recipient}")),
        }
        verdict.lost += usize::from(lost);
        verdict.doubled += usize::from(doubled);
        conversation(operation, &mut verdict);
    }
    surroundings(history, &mut verdict);
    verdict
}

/// K3: every answer names the same order; whether one does not.
fn repetitions(operation: &Operation, verdict: &mut Verdict) -> bool {
    let orders: BTreeSet<&str> = operation
        .answers()
        .filter_map(|answer| match answer {
            Answer::Settled(_, order) => Some(order.as_str()),
            _ => None,
        })
        .collect();
    if orders.len() > 1 {
        verdict.note("K3", format!("{} has the orders {orders:?} under one key", operation.recipient));
    }
    orders.len() > 1
}

/// K1, K4 and K5: what the gateway tells of an order afterwards; whether it knows it at all.
fn record(
    history: &History,
    operation: &Operation,
    order: &str,
    has_mail: bool,
    verdict: &mut Verdict,
) -> bool {
    let Some(found) = history.orders.get(order) else {
        match has_mail {
            true => verdict.note("K4", format!("order {order} was announced, and nobody knows it")),
            false => verdict.note("K1", format!("order {order} was accepted, and nobody knows it")),
        }
        return false;
    };
    if (found.amount.as_str(), found.currency.as_str()) != (&*operation.amount, operation.currency) {
        let (wanted, currency) = (&operation.amount, operation.currency);
        verdict.note("K1", format!("order {order} over {wanted} {currency} is one over {found:?}"));
    }
    if operation.settled().is_some_and(|(outcome, _)| outcome != found.outcome) {
        verdict.note("K4", format!("order {order} was answered as another than it is: {found:?}"));
    }
    if !found.published {
        verdict.note("K5", format!("the event of order {order} was never published"));
    }
    true
}

/// K3 and the contract: what was answered along the way.
fn conversation(operation: &Operation, verdict: &mut Verdict) {
    let recipient = &operation.recipient;
    for answer in operation.answers().chain(&operation.altered) {
        if let Answer::Undocumented(what) = answer {
            verdict.note("K1", format!("{recipient} was answered what is not documented: {what}"));
        }
    }
    let reused = |answer: &Answer| matches!(answer, Answer::Refused(kind) if kind == KEY_REUSED);
    if operation.answers().any(reused) {
        verdict.note("K3", format!("the key of {recipient} was taken by somebody else"));
    }
    for answer in &operation.altered {
        if let Answer::Settled(_, order) = answer {
            verdict.note("K3", format!("the key of {recipient} was good for another body: order {order}"));
        }
    }
}

/// What concerns no single order.
fn surroundings(history: &History, verdict: &mut Verdict) {
    for (place, count) in &history.recovery.backlog.0 {
        verdict.note("K5", format!("{count} still in {place}"));
    }
    let (poison, parked) = (sorted(&history.poison), sorted(&history.parked));
    if poison != parked {
        verdict.note("K5", format!("{} unreadable messages, and {} parked", poison.len(), parked.len()));
    }
    for order in &history.dead_letters {
        verdict.note("K5", format!("the e-mail of order {order} was given up or is held"));
    }
    for leak in &history.leaks {
        verdict.note("K12", leak);
    }
    for footprint in &history.footprints {
        let Footprint { service, memory, files } = footprint;
        if *memory > MOST_MEMORY || *files > MOST_FILES {
            let megabytes = memory >> 20;
            verdict.note("K13", format!("{service} takes {megabytes} MiB and {files} files"));
        }
    }
    for ending in &history.bad_endings {
        verdict.note("K14", ending);
    }
    match history.recovery.first_order {
        None => verdict.note("K14", "no order was accepted any more after the fault"),
        Some(after) if after > FIRST_ORDER => {
            verdict.note("K14", format!("no order was accepted for {} s after the fault", after.as_secs()));
        }
        Some(_) => {}
    }
}

fn sorted(messages: &[Vec<u8>]) -> Vec<&[u8]> {
    let mut messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    messages.sort_unstable();
    messages
}

impl Outcome {
    /// What an e-mail about such an order says of its amount.
    fn sentence(self, amount: &str, currency: &str) -> String {
        match self {
            Self::Paid => format!("We have received {amount} {currency}."),
            Self::Declined => format!("We could not charge {amount} {currency}."),
        }
    }
}

#[cfg(test)]
mod tests;
