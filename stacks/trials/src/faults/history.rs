//! What was observed from outside during a fault and after it. The checker joins these data by order and by recipient.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde::Serialize;

/// One order that one client wants once.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// The address of its customer; unique, so that an e-mail belongs to one operation.
    pub(crate) recipient: String,
    /// The amount of the order; unique among thousands.
    pub(crate) amount: String,
    /// The currency of the amount.
    pub(crate) currency: &'static str,
    /// The outcome that it must have.
    pub(crate) wanted: Outcome,
    /// Every request for it, in order.
    pub(crate) attempts: Vec<Attempt>,
    /// Answers to requests with its key and another body.
    pub(crate) altered: Vec<Answer>,
}

/// The outcome of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Paid.
    Paid,
    /// Declined, for its amount is above the limit.
    Declined,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When it was answered or timed out.
    pub(crate) ended: Instant,
    /// The answer.
    pub(crate) answer: Answer,
    /// The trace that the answer names, if it says that the gateway failed.
    pub(crate) failed_trace: Option<String>,
}

/// The gateway's answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The outcome and the id of the order.
    Settled(Outcome, String),
    /// A refusal that promises that this request had no effect; the type of the problem.
    Refused(String),
    /// No promise: the request may have had an effect; why that is unknown.
    Unclear(String),
    /// An undocumented answer.
    Undocumented(String),
}

impl Operation {
    /// The outcome and the order of its first clear answer.
    pub(crate) fn settled(&self) -> Option<(Outcome, &str)> {
        self.answers().find_map(|answer| match answer {
            Answer::Settled(outcome, order) => Some((*outcome, order.as_str())),
            _ => None,
        })
    }

    /// True if every request was refused.
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

/// An order as the gateway returns it afterwards.
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

/// An e-mail that the mail server accepted.
#[derive(Clone, Debug)]
pub(crate) struct Email {
    /// The recipients of its envelope.
    pub(crate) to: Vec<String>,
    /// Its Message-ID.
    pub(crate) message_id: String,
    /// The order in its text.
    pub(crate) order: String,
    /// Headers and body.
    pub(crate) text: String,
    /// When it was accepted.
    pub(crate) at: Instant,
}

/// Unfinished work by place; places without any are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog(pub(crate) BTreeMap<String, u64>);

/// The resources of one process of a service.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Footprint {
    /// The service.
    pub(crate) service: &'static str,
    /// Its threads.
    pub(crate) threads: usize,
    /// Its open files and sockets.
    pub(crate) files: usize,
    /// Its resident memory, in bytes.
    pub(crate) memory: u64,
}

/// The recovery of the system.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    /// The end of the fault.
    pub(crate) healed: Instant,
    /// From then until a new order was accepted, if one was.
    pub(crate) first_order: Option<Duration>,
    /// The backlog that did not drain.
    pub(crate) backlog: Backlog,
}

/// All observations of one round.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The orders of the clients and their answers.
    pub(crate) operations: Vec<Operation>,
    /// By id, the answered orders as the gateway returns them afterwards.
    pub(crate) orders: BTreeMap<String, Order>,
    /// The e-mails to these customers, and to addresses that never ordered.
    pub(crate) emails: Vec<Email>,
    /// By order, how often the mailer declared its e-mail uncertain.
    pub(crate) declared: BTreeMap<String, usize>,
    /// Orders whose e-mails are dead letters.
    pub(crate) dead_letters: BTreeSet<String>,
    /// The unreadable messages that were published.
    pub(crate) poison: Vec<Vec<u8>>,
    /// The messages of the parking queue.
    pub(crate) parked: Vec<Vec<u8>>,
    /// Places that contain an address or a secret.
    pub(crate) leaks: Vec<String>,
    /// Services that ended in a wrong way, and panics.
    pub(crate) bad_endings: Vec<String>,
    /// The signals that showed something unusual, those that name a cause first.
    pub(crate) signals: Vec<String>,
    /// The traces of log lines that warn.
    pub(crate) explained: BTreeSet<String>,
    /// When services were killed.
    pub(crate) kills: Vec<Instant>,
    /// The traces whose root span says that nothing failed.
    pub(crate) unfailed: BTreeSet<String>,
    /// When a metric showed something unusual, in order.
    pub(crate) alarms: Vec<Instant>,
    /// Why no signal has to show the fault, if none has to.
    pub(crate) hidden: Option<&'static str>,
    /// The peak of the resources of each service.
    pub(crate) footprints: Vec<Footprint>,
    /// The resources of the services once no work was left and no client connected.
    pub(crate) at_rest: Vec<Footprint>,
    /// The clients at work at once.
    pub(crate) clients: usize,
    /// The connections over which the records of the orders are asked for, beside the orders of the next round.
    pub(crate) asking: usize,
    /// The cores of this machine.
    pub(crate) cores: usize,
    /// The recovery of the system.
    pub(crate) recovery: Recovery,
}
