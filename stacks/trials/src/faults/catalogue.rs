//! All faults, by name.

use std::time::Duration;

use stacks::{
    local::layout::Component::{self, Gateway, Mailer, Payment},
    process::Signal,
};
use testkit::smtp::{Behavior, State};

use super::fault::Fault::{self, *};

/// A fault and its name.
pub(crate) type Named = (&'static str, Fault);

/// All faults, in the order of a run.
pub(crate) const FAULTS: &[Named] = &[
    ("nothing", Nothing),
    // The processes of the services.
    ("kill-gateway", Kill(&[Gateway])),
    ("kill-payment", Kill(&[Payment])),
    ("kill-mailer", Kill(&[Mailer])),
    ("kill-services", Kill(&Component::SERVICES)),
    ("kill-everything", KillEverything),
    ("kill-at-random", KillAtRandom),
    ("sigterm", End(Signal::TERM)),
    ("ctrl-c", End(Signal::INT)),
    ("sighup", End(Signal::HUP)),
    ("freeze", Freeze),
    // The same, at crash points in the code.
    ("gateway.before_forward", Crash(Gateway)),
    ("gateway.after_payment", Crash(Gateway)),
    ("payment.before_commit", Crash(Payment)),
    ("payment.in_commit", Crash(Payment)),
    ("payment.after_commit", Crash(Payment)),
    ("payment.before_publish", Crash(Payment)),
    ("payment.before_confirm", Crash(Payment)),
    ("payment.after_confirm", Crash(Payment)),
    ("mailer.before_inbox", Crash(Mailer)),
    ("mailer.before_ack", Crash(Mailer)),
    ("mailer.before_smtp", Crash(Mailer)),
    ("mailer.before_content", Crash(Mailer)),
    ("mailer.after_answer", Crash(Mailer)),
    // The clients, and the answers to them.
    ("same-key-at-once", Crowd),
    ("half-closed-clients", HalfClosed),
    ("slow-bodies", SlowBodies),
    ("few-descriptors", FewDescriptors),
    ("bad-requests", BadRequests),
    ("payment-answers-lost", LostAnswers),
    // The broker.
    ("broker-stopped", BrokerStopped),
    ("broker-killed", BrokerKilled),
    ("broker-memory-alarm", BrokerAlarm("set_vm_memory_high_watermark", ["0", "0.6"], 17)),
    ("broker-disk-alarm", BrokerAlarm("set_disk_free_limit", ["1000000GB", "50MB"], 17)),
    ("broker-alarm-of-minutes", BrokerAlarm("set_vm_memory_high_watermark", ["0", "0.6"], 180)),
    ("broker-cut", BrokerCut),
    ("broker-blocked", BrokerBlocked),
    ("broker-vanishes", BrokerVanishes),
    ("broker-slow", BrokerSlow),
    ("queue-deleted", QueueDeleted),
    ("queue-redeclared", QueueRedeclared),
    ("unroutable", Unroutable),
    ("duplicates", Duplicates),
    ("poison", Poison),
    // The mail server.
    ("mail-down", Mail(State::Down)),
    ("mail-slow", Mail(State::Slow(Duration::from_millis(150)))),
    ("mail-stalled", Mail(State::Stalled)),
    ("mail-later", Mail(State::Up(Behavior::Refuse("451 later"), 2))),
    ("mail-never", MailNever),
    ("mail-first-address-dead", MailFirstAddressDead),
    ("mail-refuses-sender", Mail(State::RefusesSenders("530 authentication required"))),
    ("mail-closes-sessions", Mail(State::Closes(3))),
    ("mail-one-per-session", Mail(State::OneEach)),
    ("mail-helo-only", Mail(State::HeloOnly)),
    ("mail-hidden-250", Mail(State::Up(Behavior::AcceptAndClose, 3))),
    ("mail-lost-content", Mail(State::Up(Behavior::DiscardAndClose, 3))),
    // The databases.
    ("payment-locked", Locked(Payment)),
    ("mailer-locked", Locked(Mailer)),
    ("mailer-locked-and-killed", LockedAndKilled),
    ("disk-full", DiskFull),
    ("disk-hangs", DiskHangs),
    ("outbox-undecodable", Undecodable(Payment)),
    ("inbox-undecodable", Undecodable(Mailer)),
    ("second-payment", SecondProcess(Payment)),
    ("second-mailer", SecondProcess(Mailer)),
    ("clock-set-back", ClockSet(-3)),
    ("clock-set-forward", ClockSet(3)),
    ("telemetry-receiver", TelemetryReceiver),
    ("spool-damaged", SpoolDamaged),
    ("postgres-replica-stopped", StoppedInTransaction),
    ("postgres-replica-killed", KilledWithLeases),
    ("postgres-killed", PostgresKilled),
    ("postgres-read-only", ReadOnly),
    ("postgres-no-sessions", NoSessions),
];

/// The faults that `make test` has time for.
pub(crate) const QUICK: &[&str] = &[
    "nothing",
    "kill-gateway",
    "kill-payment",
    "kill-mailer",
    "payment.after_commit",
    "broker-killed",
    "duplicates",
    "poison",
    "mail-hidden-250",
];

/// The fault of this name.
pub(crate) fn find(name: &str) -> Option<Named> {
    FAULTS.iter().find(|(known, _)| *known == name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_quick_faults_exist() {
        let mut names: Vec<_> = FAULTS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
        assert!(QUICK.iter().all(|name| find(name).is_some()));
    }
}
