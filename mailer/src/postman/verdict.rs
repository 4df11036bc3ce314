//! The verdict on an e-mail after a failed attempt: repeat, give up or hold.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::config::Policy;
use crate::transport::Fate;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// The verdict on an e-mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Send it again after this delay.
    Retry(Duration),
    /// Give it up as a dead letter: no mail server has it.
    Dead,
    /// Hold it for an operator: a mail server may have it.
    Held,
}

impl Verdict {
    /// The verdict after the attempt of this number; `uncertain` if an earlier one may have left a copy.
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
            // No mail server has it from this attempt; an earlier one may have left a copy.
            (Fate::NotTaken | Fate::Refused, _) if uncertain => Self::Held,
            (Fate::NotTaken | Fate::Refused, _) => Self::Dead,
        }
    }
}

/// Doubles from one second to 15 minutes, plus or minus 20 %: e-mails that failed together must not be repeated together.
fn delay_after(attempt: u32) -> Duration {
    let doubled = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let [random, ..] = *Uuid::new_v4().as_bytes();
    doubled.min(MAX_DELAY).mul_f64(0.8 + 0.4 * f64::from(random) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_15_minutes_plus_or_minus_20_percent() {
        for (attempt, seconds) in [(1, 1.0), (2, 2.0), (5, 16.0), (20, 900.0), (u32::MAX, 900.0)] {
            let delay = delay_after(attempt).as_secs_f64();
            assert!((seconds * 0.79..=seconds * 1.21).contains(&delay), "{delay} after {attempt}");
        }
    }

    #[test]
    fn past_its_deadline_an_uncertain_email_is_held() {
        let verdict =
            |fate, uncertain| Verdict::after(fate, Policy::Resend, 1, OffsetDateTime::UNIX_EPOCH, uncertain);
        assert_eq!(verdict(Fate::NotTaken, false), Verdict::Dead);
        assert_eq!(verdict(Fate::Uncertain, false), Verdict::Held);
        assert_eq!(verdict(Fate::NotTaken, true), Verdict::Held);
    }

    #[test]
    fn a_refusal_after_an_uncertain_attempt_is_held() {
        let later = OffsetDateTime::now_utc() + Duration::from_secs(3600);
        let verdict = |uncertain| Verdict::after(Fate::Refused, Policy::Resend, 2, later, uncertain);
        assert_eq!((verdict(false), verdict(true)), (Verdict::Dead, Verdict::Held));
    }
}
