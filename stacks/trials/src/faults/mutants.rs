//! Bugs that the services can be given, each with a fault under which it shows. The checker has to catch them all.

/// A bug, and the fault under which it shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutant {
    /// Its name, as `SABOTAGE_BUGS` knows it.
    pub(crate) bug: &'static str,
    /// The name of the fault.
    pub(crate) fault: &'static str,
}

const fn mutant(bug: &'static str, fault: &'static str) -> Mutant {
    Mutant { bug, fault }
}

/// All of them.
pub(crate) const MUTANTS: &[Mutant] = &[
    mutant("gateway.key_not_scoped", "nothing"),
    mutant("gateway.new_order_on_retry", "payment.after_commit"),
    mutant("gateway.accepts_before_payment", "kill-payment"),
    mutant("payment.answer_before_commit", "payment-locked"),
    mutant("payment.outbox_not_atomic", "payment.in_commit"),
    mutant("payment.idempotency_off", "nothing"),
    mutant("payment.confirm_not_awaited", "broker-vanishes"),
    mutant("payment.mark_before_publish", "broker-vanishes"),
    mutant("payment.new_event_id_on_retry", "payment.after_confirm"),
    mutant("payment.wrong_amount", "nothing"),
    mutant("mailer.ack_before_commit", "mailer-locked-and-killed"),
    mutant("mailer.dedupe_off", "duplicates"),
    mutant("mailer.sent_before_answer", "mail-lost-content"),
    mutant("mailer.resend_undeclared", "mail-hidden-250"),
    mutant("mailer.mixes_up_customers", "nothing"),
    mutant("mailer.leaks_address", "nothing"),
    mutant("mailer.parking_drops", "poison"),
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
        assert!(QUICK.iter().all(|bug| MUTANTS.iter().any(|mutant| mutant.bug == *bug)));
    }
}
