//! K2, K6 and K7: the e-mails against the orders.

use std::collections::{BTreeMap, BTreeSet};

use super::verdict::Verdict;
use crate::faults::history::{Email, History, Operation};

/// The e-mails by recipient.
pub(super) struct Mail<'a>(BTreeMap<&'a str, Vec<&'a Email>>);

/// The copies of the e-mail of one order.
#[derive(Default)]
pub(super) struct Copies {
    pub(super) lost: bool,
    pub(super) doubled: bool,
}

impl<'a> Mail<'a> {
    /// Sorts the e-mails, and notes those to wrong recipients.
    pub(super) fn sort(history: &'a History, verdict: &mut Verdict) -> Self {
        let customers: BTreeSet<&str> = history.operations.iter().map(|one| one.recipient.as_str()).collect();
        let mut mail: BTreeMap<&str, Vec<&Email>> = BTreeMap::new();
        for email in &history.emails {
            let [to] = email.to.as_slice() else {
                verdict.note("K6", format!("the e-mail about order {} went to {:?}", email.order, email.to));
                continue;
            };
            if !customers.contains(to.as_str()) {
                verdict.note("K2", format!("{to} never ordered, and got an e-mail about {}", email.order));
            }
            mail.entry(to.as_str()).or_default().push(email);
        }
        Self(mail)
    }

    /// True if this recipient got an e-mail.
    pub(super) fn has(&self, recipient: &str) -> bool {
        self.0.contains_key(recipient)
    }

    /// The e-mails about the order of an operation.
    pub(super) fn check(
        &self,
        operation: &Operation,
        order: &str,
        history: &History,
        verdict: &mut Verdict,
    ) -> Copies {
        let recipient = operation.recipient.as_str();
        let all = self.0.get(recipient).map_or(&[][..], Vec::as_slice);
        let (ours, foreign): (Vec<&Email>, Vec<&Email>) = all.iter().partition(|email| email.order == order);
        let mut copies = Copies::default();
        for email in foreign {
            copies.doubled = true;
            verdict
                .note("K6", format!("{recipient} ordered {order}, and got an e-mail about {}", email.order));
        }
        let Some(first) = ours.first() else {
            // A dead letter is not lost, and is noted as a violation of its own.
            copies.lost = !history.dead_letters.contains(order);
            if copies.lost {
                verdict.note("K6", format!("there is no e-mail about order {order} to {recipient}"));
            }
            return copies;
        };
        let declared = history.declared.get(order).copied().unwrap_or_default();
        if ours.len() > 1 + declared {
            copies.doubled = true;
            let many = ours.len();
            verdict.note(
                "K6",
                format!("{many} e-mails about order {order}, declared uncertain {declared} times"),
            );
        }
        if ours.iter().any(|email| email.message_id != first.message_id || email.text != first.text) {
            copies.doubled = true;
            verdict.note("K6", format!("the e-mails about order {order} are not copies of one"));
        }
        let sentence = operation.wanted.sentence(&operation.amount, operation.currency);
        if !first.text.contains(&sentence) {
            verdict.note("K6", format!("the e-mail about order {order} does not say: {sentence}"));
        }
        if operation.attempts.first().is_some_and(|attempt| first.at < attempt.sent) {
            verdict.note("K7", format!("the e-mail about order {order} came before it was placed"));
        }
        copies
    }
}
