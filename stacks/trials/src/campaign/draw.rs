//! Which fault comes next.

use std::time::Duration;

use crate::faults::{
    catalogue::{FAULTS, Named},
    fault::Fault,
};

/// The least time of a block.
const MIN_BLOCK: Duration = Duration::from_secs(3 * 60);
/// The blocks of a long campaign.
const BLOCKS: u32 = 3;
/// The share of a block in which faults may end a service.
const RESTLESS: f64 = 1.0 / 3.0;

/// Draws faults at random. In the first third of each block every fault may come; in the rest only those that end no
/// service, so that each process lives long enough for its growth to be measured.
pub(super) struct Draw {
    random: fastrand::Rng,
    block: Duration,
    /// Shuffled decks, so that each fault comes: of all faults, and of those that end no service.
    decks: [Vec<Named>; 2],
}

impl Draw {
    /// The faults of a campaign of this length.
    pub(super) fn new(seed: u64, length: Duration) -> Self {
        let block = (length / BLOCKS).max(MIN_BLOCK);
        Self { random: fastrand::Rng::with_seed(seed), block, decks: [Vec::new(), Vec::new()] }
    }

    /// The fault to cause after this time.
    pub(super) fn next(&mut self, elapsed: Duration) -> Named {
        let block = self.block.as_secs_f64();
        let is_calm = elapsed.as_secs_f64() % block > block * RESTLESS;
        let deck = &mut self.decks[usize::from(is_calm)];
        if deck.is_empty() {
            let may_come =
                |(_, fault): &&Named| left_out(fault).is_none() && !(is_calm && ends_service(fault));
            deck.extend(FAULTS.iter().filter(may_come));
            self.random.shuffle(deck);
        }
        deck.pop().unwrap_or(FAULTS[0])
    }
}

/// Why a fault is left out of a campaign, if it is.
pub(super) fn left_out(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Crash(_) => Some("release builds have no crash points"),
        Fault::DiskFull
        | Fault::DiskHangs
        | Fault::StoppedInTransaction
        | Fault::KilledWithLeases
        | Fault::PostgresKilled
        | Fault::ReadOnly
        | Fault::NoSessions => Some("it moves the services to new databases"),
        Fault::BrokerAlarm(.., 60..) => Some("it lasts for minutes"),
        Fault::ClockSet(_) => {
            Some("it restarts the services with a library that each call of the clock passes")
        }
        Fault::MailFirstAddressDead => Some("it restarts the mailer with a library that resolves names"),
        _ => None,
    }
}

/// True if a service has another process after the fault.
fn ends_service(fault: &Fault) -> bool {
    use stacks::local::layout::Component::Payment;
    match fault {
        Fault::Kill(_)
        | Fault::KillEverything
        | Fault::KillAtRandom
        | Fault::Crash(_)
        | Fault::End(_)
        | Fault::LockedAndKilled
        | Fault::LostAnswers
        | Fault::Undecodable(Payment) => true,
        _ => left_out(fault).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a campaign with a fault every ten seconds.
    fn drawn(seed: u64, minutes: u64) -> Vec<(u64, Named)> {
        let mut draw = Draw::new(seed, Duration::from_secs(minutes * 60));
        (0..minutes * 6).map(|turn| (turn * 10, draw.next(Duration::from_secs(turn * 10)))).collect()
    }

    #[test]
    fn a_seed_repeats_the_faults() {
        let names = |seed| drawn(seed, 60).into_iter().map(|(_, (name, _))| name).collect::<Vec<_>>();
        assert_eq!(names(1), names(1));
        assert_ne!(names(1), names(2));
    }

    #[test]
    fn a_process_lives_for_two_thirds_of_a_block() {
        for (second, (name, fault)) in drawn(1, 60) {
            let is_calm = second % 1200 > 400;
            assert!(!(is_calm && ends_service(&fault)), "{name} comes after {second} s");
        }
    }

    #[test]
    fn an_hour_has_every_fault_that_is_not_left_out() {
        let drawn = drawn(7, 60);
        for (name, fault) in FAULTS.iter().filter(|(_, fault)| left_out(fault).is_none()) {
            assert!(drawn.iter().any(|(_, (one, _))| one == name), "{name}, {fault:?}");
        }
        assert!(drawn.iter().all(|(_, (_, fault))| left_out(fault).is_none()));
    }
}
