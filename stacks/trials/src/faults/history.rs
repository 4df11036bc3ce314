//! What was seen while a fault was there and after it, from outside: plain data for the checker, which joins it by
//! order and by recipient.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// One thing that one client wants, once.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The address of its customer. No other operation has the same one, so that an e-mail finds its operation.
    pub(crate) recipient: String,
    /// The amount of the order; no other operation has the same one.
    pub(crate) amount: String,
    /// The currency of the amount.
    pub(crate) currency: &'static str,
    /// What must become of it once it is answered.
    pub(crate) wanted: Outcome,
    /// Every request for it, in turn.
    pub(crate) attempts: Vec<Attempt>,
    /// Answers to requests with its key and another body.
    pub(crate) altered: Vec<Answer>,
}

/// How an order ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Paid.
    Paid,
    /// Declined, for it was above the limit.
    Declined,
}

/// A request and what came of it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When it was answered, or given up.
    pub(crate) ended: Instant,
    /// The answer.
    pub(crate) answer: Answer,
}

/// What the gateway answered to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The order is settled, one way or the other.
    Settled(Outcome, String),
    /// A definite refusal of this request, which promises that it had no effect; the type of the problem.
    Refused(String),
    /// The request may or may not have had an effect; why that is not known.
    Unclear(String),
    /// Nothing that is documented.
    Undocumented(String),
}

impl Operation {
    /// The order that it was answered with first.
    pub(crate) fn settled(&self) -> Option<(Outcome, &str)> {
        self.answers().find_map(|answer| match answer {
            Answer::Settled(outcome, order) => Some((*outcome, order.as_str())),
            _ => None,
        })
    }

    /// Whether every request was refused for certain.
    pub(crate) fn is_refused(&self) -> bool {
        self.answers().all(|answer| matches!(answer, Answer::Refused(_)))
    }

    /// When it was first answered with an order.
    pub(crate) fn settled_at(&self) -> Option<Instant> {
        self.attempts.iter().find(|one| matches!(one.answer, Answer::Settled(..))).map(|one| one.ended)
    }

    /// All answers to requests with its own body.
    pub(crate) fn answers(&self) -> impl Iterator<Item = &Answer> {
        self.attempts.iter().map(|attempt| &attempt.answer)
    }
}

/// An order as the gateway tells it afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Its outcome.
    pub(crate) outcome: Outcome,
    /// Its amount.
    pub(crate) amount: String,
    /// Its currency.
    pub(crate) currency: String,
    /// Whether its event has been published.
    pub(crate) published: bool,
}

/// An e-mail that the mail server took.
#[derive(Clone, Debug)]
pub(crate) struct Email {
    /// The recipients of its envelope.
    pub(crate) to: Vec<String>,
    /// Its Message-ID.
    pub(crate) message_id: String,
    /// The order that it is about.
    pub(crate) order: String,
    /// All of it.
    pub(crate) text: String,
    /// When it was taken.
    pub(crate) at: Instant,
}

/// What is still under way, when nothing should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog(pub(crate) BTreeMap<String, u64>);

/// How much of the machine a service takes.
#[derive(Clone, Debug)]
pub(crate) struct Footprint {
    /// The service.
    pub(crate) service: &'static str,
    /// Its resident memory, in bytes.
    pub(crate) memory: u64,
    /// Its open files and sockets.
    pub(crate) files: usize,
}

/// How the system came back.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    /// When the fault was over.
    pub(crate) healed: Instant,
    /// From then until a new order was accepted; nothing if none was.
    pub(crate) first_order: Option<Duration>,
    /// What was left after waiting for it to be worked off.
    pub(crate) backlog: Backlog,
}

/// All that was seen.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// What the clients wanted and were told.
    pub(crate) operations: Vec<Operation>,
    /// The orders that they were told of, as the gateway tells them afterwards.
    pub(crate) orders: BTreeMap<String, Order>,
    /// The e-mails that the mail server took, for these customers or for nobody who ordered.
    pub(crate) emails: Vec<Email>,
    /// How often the mailer declared the e-mail of an order uncertain.
    pub(crate) declared: BTreeMap<String, usize>,
    /// Orders whose e-mails are held or given up.
    pub(crate) dead_letters: BTreeSet<String>,
    /// What was put into the queue of the mailer that nobody can read.
    pub(crate) poison: Vec<Vec<u8>>,
    /// What was found in the parking queue.
    pub(crate) parked: Vec<Vec<u8>>,
    /// Where an address or a secret was found that must not be there.
    pub(crate) leaks: Vec<String>,
    /// How services ended that were asked to: which, and why that is not right.
    pub(crate) bad_endings: Vec<String>,
    /// What the services take.
    pub(crate) footprints: Vec<Footprint>,
    /// How the system came back.
    pub(crate) recovery: Recovery,
}
