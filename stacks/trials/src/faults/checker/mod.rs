//! The checker: a pure function from a history to the violations of the invariants.
//!
//! | invariant | what must hold |
//! |---|---|
//! | K1 | an accepted order is recorded with its amount, currency and outcome |
//! | K2 | a refused order has no effect, and no e-mail goes to an address that never ordered |
//! | K3 | one operation is one order, however often it is repeated; its key with another body is refused |
//! | K4 | payment and event exist together |
//! | K5 | the backlog drains; unreadable messages are parked unchanged |
//! | K6 | one e-mail for each order, to its customer, about its amount; a second one only if declared |
//! | K7 | no effect comes before its cause |
//! | K12 | no signal contains an address or a secret |
//! | K13 | threads, descriptors and memory stay within bounds, at their peak |
//! | K14 | the system recovers by itself, and ends when a signal asks it to |
//! | K15 | a metric or a log line shows the fault, and work that piles up; a line of its trace and its root span show each failed order |

mod emails;
mod silence;
pub(crate) mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use self::{emails::Mail, verdict::Verdict};
use super::history::{Answer, Footprint, History, Operation, Outcome};

/// The gateway's answer to a key that belongs to another body.
const KEY_REUSED: &str = "/problems/idempotency-key-reused";
/// The most that one process of a service may have. What leaks every eight seconds of an
/// alarm of three minutes makes 22: each bound is less than that above the peak of a run without a leak.
///
/// Threads without the gateway's, of which there is one for each core: 9 at most, and 2 for each AMQP connection.
const MAX_THREADS: usize = 24;
/// Descriptors without those of clients. A client has one for its connection to the gateway, and one or two for those to
/// payment.
const MAX_FILES: usize = 16;
const FILES_OF_CLIENT: usize = 3;
/// Sessions of the mailer with the mail server: one for each e-mail that may be in flight.
const MAX_SESSIONS: usize = 256;
/// Descriptors without work and without clients, and those for each client that was there: payment and the gateway keep
/// their connections for a while. 16 more than a run has without a leak.
const FILES_AT_REST: [(&str, (usize, usize)); 3] =
    [("gateway", (48, 1)), ("payment", (56, 2)), ("mailer", (74, 0))];
/// Resident memory in MiB, as built for debugging; in a release build less.
const MAX_MEMORY: usize = 100;
/// From the end of a fault until a new order is accepted.
const MAX_FIRST_ORDER: Duration = Duration::from_secs(15);

/// Between the answer to a client and the line about it in the log file.
const MAX_UNWRITTEN: Duration = Duration::from_millis(250);

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
                    verdict.note("K1", format!("order {order} is {outcome:?} in place of {wanted:?}"));
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
                verdict.note("K2", format!("{recipient} was refused, and got an e-mail"));
            }
            None if operation.is_refused() => {}
            None => verdict.note("K14", format!("the order of {recipient} has no clear answer")),
        }
        verdict.lost += usize::from(lost);
        verdict.doubled += usize::from(doubled);
        conversation(operation, history, &mut verdict);
    }
    surroundings(history, &mut verdict);
    verdict
}

/// K3: every answer names the same order; true if one does not.
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

/// K1, K4 and K5: the record of an order; true if there is one.
fn record(
    history: &History,
    operation: &Operation,
    order: &str,
    has_mail: bool,
    verdict: &mut Verdict,
) -> bool {
    let Some(found) = history.orders.get(order) else {
        match has_mail {
            true => verdict.note("K4", format!("order {order} has an e-mail and no record")),
            false => verdict.note("K1", format!("order {order} was accepted and has no record")),
        }
        return false;
    };
    if (found.amount.as_str(), found.currency.as_str()) != (&*operation.amount, operation.currency) {
        let (wanted, currency) = (&operation.amount, operation.currency);
        verdict.note("K1", format!("order {order} over {wanted} {currency} is recorded as {found:?}"));
    }
    if operation.settled().is_some_and(|(outcome, _)| outcome != found.outcome) {
        verdict.note("K4", format!("the answer of order {order} differs from its record: {found:?}"));
    }
    if !found.published {
        verdict.note("K5", format!("the event of order {order} was never published"));
    }
    true
}

/// K3, K15 and the contract: all answers.
fn conversation(operation: &Operation, history: &History, verdict: &mut Verdict) {
    let recipient = &operation.recipient;
    for answer in operation.answers().chain(&operation.altered) {
        if let Answer::Undocumented(what) = answer {
            verdict.note("K1", format!("{recipient} got an undocumented answer: {what}"));
        }
    }
    for attempt in &operation.attempts {
        let Some(trace) = &attempt.failed_trace else { continue };
        // A process that is killed takes the line of its last answer with it.
        let apart = |kill: &Instant| kill.max(&attempt.ended).duration_since(*kill.min(&attempt.ended));
        let is_last = history.kills.iter().any(|kill| apart(kill) < MAX_UNWRITTEN);
        if !is_last && !history.explained.contains(trace) {
            verdict.note(
                "K15",
                format!("the order of {recipient} failed, and no log line of trace {trace} warns"),
            );
        }
        if history.unfailed.contains(trace) {
            verdict.note(
                "K15",
                format!("the order of {recipient} failed, and the root of trace {trace} did not"),
            );
        }
    }
    let reused = |answer: &Answer| matches!(answer, Answer::Refused(kind) if kind == KEY_REUSED);
    if operation.answers().any(reused) {
        verdict.note("K3", format!("the key of {recipient} belongs to another client"));
    }
    for answer in &operation.altered {
        if let Answer::Settled(_, order) = answer {
            verdict
                .note("K3", format!("the key of {recipient} was accepted with another body: order {order}"));
        }
    }
}

/// The invariants that concern no single order.
fn surroundings(history: &History, verdict: &mut Verdict) {
    for (place, count) in &history.recovery.backlog.0 {
        verdict.note("K5", format!("{count} left in {place}"));
    }
    let (poison, parked) = (sorted(&history.poison), sorted(&history.parked));
    if poison != parked {
        verdict.note("K5", format!("{} unreadable messages, and {} parked", poison.len(), parked.len()));
    }
    for order in &history.dead_letters {
        verdict.note("K5", format!("the e-mail of order {order} is a dead letter"));
    }
    for leak in &history.leaks {
        verdict.note("K12", leak);
    }
    for footprint in &history.footprints {
        let Footprint { service, threads, files, memory } = footprint;
        let sessions = if *service == "mailer" { MAX_SESSIONS } else { 0 };
        let bounds = [
            (*threads, MAX_THREADS + history.cores, "threads"),
            (
                *files,
                MAX_FILES + FILES_OF_CLIENT * (history.clients + history.asking) + sessions,
                "descriptors",
            ),
            ((memory >> 20) as usize, MAX_MEMORY, "MiB"),
        ];
        for (peak, bound, unit) in bounds.into_iter().filter(|(peak, bound, _)| peak > bound) {
            verdict.note("K13", format!("{service} had {peak} {unit}, more than {bound}"));
        }
    }
    for Footprint { service, files, .. } in &history.at_rest {
        let (bound, of_client) =
            FILES_AT_REST.iter().find(|(one, ..)| one == service).map_or((0, 0), |one| one.1);
        let bound = bound + of_client * history.clients;
        if *files > bound {
            verdict.note("K13", format!("{service} keeps {files} descriptors at rest, more than {bound}"));
        }
    }
    if history.signals.is_empty() && history.hidden.is_none() {
        verdict.note("K15", "no signal shows the fault");
    }
    if let Some(silence) = silence::longest(history) {
        let seconds = silence.as_secs_f64();
        verdict.note("K15", format!("many e-mails were late, and no metric showed it for {seconds:.1} s"));
    }
    for ending in &history.bad_endings {
        verdict.note("K14", ending);
    }
    match history.recovery.first_order {
        None => verdict.note("K14", "no order was accepted after the fault"),
        Some(after) if after > MAX_FIRST_ORDER => {
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
    /// The sentence about the amount in an e-mail.
    fn sentence(self, amount: &str, currency: &str) -> String {
        match self {
            Self::Paid => format!("We have received {amount} {currency}."),
            Self::Declined => format!("We could not charge {amount} {currency}."),
        }
    }
}

#[cfg(test)]
mod tests;
