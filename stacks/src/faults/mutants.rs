//! Bugs that the services can be given, each with a fault under which it shows. The checker has to catch them all.

use crate::local::layout::Component::{self, Gateway, Mailer, Payment};

/// A bug, the service that has it, and the fault under which it shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutant {
    /// Its name, as `SABOTAGE_BUGS` knows it.
    pub(crate) bug: &'static str,
    /// Who has it.
    pub(crate) service: Component,
    /// The name of the fault.
    pub(crate) fault: &'static str,
}

const fn mutant(service: Component, bug: &'static str, fault: &'static str) -> Mutant {
    Mutant { bug, service, fault }
}

/// All of them.
pub(crate) const MUTANTS: &[Mutant] = &[
    mutant(Gateway, "gateway.key_not_scoped", "nothing"),
    mutant(Gateway, "gateway.new_order_on_retry", "payment.after_commit"),
    mutant(Gateway, "gateway.accepts_before_payment", "kill-payment"),
    mutant(Payment, "payment.answer_before_commit", "payment.before_commit"),
    mutant(Payment, "payment.outbox_not_atomic", "payment.in_commit"),
    mutant(Payment, "payment.idempotency_off", "nothing"),
    mutant(Payment, "payment.confirm_not_awaited", "broker-vanishes"),
    mutant(Payment, "payment.mark_before_publish", "payment.before_publish"),
    mutant(Payment, "payment.new_event_id_on_retry", "payment.after_confirm"),
    mutant(Payment, "payment.wrong_amount", "nothing"),
    mutant(Mailer, "mailer.ack_before_commit", "mailer-locked-and-killed"),
    mutant(Mailer, "mailer.dedupe_off", "duplicates"),
    mutant(Mailer, "mailer.sent_before_answer", "mail-lost-content"),
    mutant(Mailer, "mailer.resend_undeclared", "mail-hidden-250"),
    mutant(Mailer, "mailer.mixes_up_customers", "nothing"),
    mutant(Mailer, "mailer.leaks_address", "nothing"),
    mutant(Mailer, "mailer.parking_drops", "poison"),
];

/// Those that `make test` has time for.
pub(crate) const QUICK: &[&str] = &[
    "gateway.key_not_scoped",
    "gateway.new_order_on_retry",
    "payment.wrong_amount",
    "mailer.dedupe_off",
    "mailer.resend_undeclared",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::catalogue;

    #[test]
    fn every_mutant_shows_under_a_fault_that_exists() {
        assert!(MUTANTS.iter().all(|mutant| catalogue::find(mutant.fault).is_some()));
        assert!(MUTANTS.iter().all(|mutant| mutant.bug.starts_with(mutant.service.name())));
        assert!(QUICK.iter().all(|bug| MUTANTS.iter().any(|mutant| mutant.bug == *bug)));
    }
}
