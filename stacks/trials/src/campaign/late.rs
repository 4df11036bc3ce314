//! E-mails that come after the round of their order was judged: second copies, which must have been declared.

use std::collections::{BTreeMap, BTreeSet};

use crate::faults::history::{Email, History};

/// What must be known of earlier rounds for that: the few orders with a declaration, and the few customers without an order.
#[derive(Default)]
pub(super) struct Late {
    /// By order, how often its e-mail was declared uncertain.
    declared: BTreeMap<String, usize>,
    /// By order, its e-mails, where there was more than one or a declaration.
    copies: BTreeMap<String, usize>,
    refused: BTreeSet<String>,
}

impl Late {
    /// Takes over what later rounds need of this one.
    pub(super) fn learn(&mut self, history: &History) {
        for (order, times) in &history.declared {
            *self.declared.entry(order.clone()).or_default() += times;
        }
        for email in history.emails.iter().filter(|email| self.declared.contains_key(&email.order)) {
            *self.copies.entry(email.order.clone()).or_default() += 1;
        }
        let refused = history.operations.iter().filter(|one| one.settled().is_none());
        self.refused.extend(refused.map(|one| one.recipient.clone()));
    }

    /// The violations by these e-mails.
    pub(super) fn judge(&mut self, emails: Vec<Email>) -> Vec<String> {
        let mut violations = Vec::new();
        for Email { to, order, .. } in emails {
            if let Some(customer) = to.iter().find(|to| self.refused.contains(*to)) {
                violations.push(format!("K2: {customer} was refused, and got an e-mail about {order}"));
            }
            let declared = self.declared.get(&order).copied().unwrap_or_default();
            let copies = self.copies.entry(order.clone()).or_insert(1);
            *copies += 1;
            if *copies > 1 + declared {
                violations.push(format!(
                    "K6: {copies} e-mails about order {order} after its round, declared uncertain {declared} times"
                ));
            }
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn email(to: &str, order: &str) -> Email {
        let [message_id, text] = [String::new(), String::new()];
        Email { to: vec![to.into()], message_id, order: order.into(), text, at: Instant::now() }
    }

    fn late() -> Late {
        Late {
            declared: [("a".into(), 1)].into(),
            copies: [("a".into(), 1)].into(),
            refused: ["r@x".into()].into(),
        }
    }

    #[test]
    fn a_late_copy_needs_a_declaration() {
        assert_eq!(late().judge(vec![email("ada@x", "a")]), Vec::<String>::new());
        let twice = late().judge(vec![email("ada@x", "a"), email("ada@x", "a")]);
        assert!(twice.len() == 1 && twice[0].starts_with("K6: 3 e-mails about order a"), "{twice:?}");
        let undeclared = late().judge(vec![email("ben@x", "b")]);
        assert!(
            undeclared.len() == 1 && undeclared[0].starts_with("K6: 2 e-mails about order b"),
            "{undeclared:?}"
        );
    }

    #[test]
    fn a_late_email_to_a_refused_customer_is_a_violation() {
        let violations = late().judge(vec![email("r@x", "a")]);
        assert!(violations.len() == 1 && violations[0].starts_with("K2: "), "{violations:?}");
    }
}
