//! What becomes of an e-mail after an attempt that has failed. Pure, but for the clock and the dice.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::config::Policy;
use crate::transport::Fate;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(15 * 60);

/// What becomes of an e-mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is tried again after this time.
    Retry(Duration),
    /// It is a dead letter: nobody has it.
    Dead,
    /// It is left to an operator: somebody may have it.
    Held,
}

impl Verdict {
    /// The verdict on the attempt of this number. `uncertain`: an earlier one may have left a copy.
    pub(super) fn after(
        fate: Fate,
        policy: Policy,
        attempt: u32,
        deadline: OffsetDateTime,
        uncertain: bool,
    ) -> Self {
        let delay = delay_after(attempt);
        let is_in_time = OffsetDateTime::now_utc() + delay < deadline;
        match (fate, policy) {
            (Fate::Uncertain, Policy::Hold) => Self::Held,
            (Fate::NotTaken | Fate::Uncertain, _) if is_in_time => Self::Retry(delay),
            (Fate::Uncertain, _) => Self::Held,
            // Nobody has it from this attempt; that says nothing about the others.
            (Fate::NotTaken | Fate::Refused, _) if uncertain => Self::Held,
            (Fate::NotTaken | Fate::Refused, _) => Self::Dead,
        }
    }
}

/// Doubles from one second to a quarter of an hour, give or take a fifth: what failed together must not come back
/// together.
fn delay_after(attempt: u32) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let [random, ..] = *Uuid::new_v4().as_bytes();
    doubled.min(LONGEST_DELAY).mul_f64(0.8 + 0.4 * f64::from(random) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_a_quarter_of_an_hour_give_or_take_a_fifth() {
        for (attempt, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (20, 900.0), (u32::MAX, 900.0)] {
            let delay = delay_after(attempt).as_secs_f64();
            assert!((seconds * 0.79..=seconds * 1.21).contains(&delay), "{delay} after {attempt}");
        }
    }

    #[test]
    fn past_its_deadline_an_email_is_dead_only_if_nobody_can_have_it() {
        let verdict =
            |fate, uncertain| Verdict::after(fate, Policy::Resend, 1, OffsetDateTime::UNIX_EPOCH, uncertain);
        assert_eq!(verdict(Fate::NotTaken, false), Verdict::Dead);
        assert_eq!(verdict(Fate::Uncertain, false), Verdict::Held);
        assert_eq!(verdict(Fate::NotTaken, true), Verdict::Held);
    }

    #[test]
    fn a_refusal_after_an_attempt_that_was_never_heard_of_does_not_prove_that_there_is_no_copy() {
        let later = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        let verdict = |uncertain| Verdict::after(Fate::Refused, Policy::Resend, 2, later, uncertain);
        assert_eq!((verdict(false), verdict(true)), (Verdict::Dead, Verdict::Held));
    }
}
