//! The seed of a run: it decides the orders and the schedule.

use stacks::progress::Progress;

/// The given seed or a new one; it is shown, so that the run can be repeated.
pub(crate) fn choose(wanted: Option<u64>, progress: &mut Progress) -> u64 {
    // Short enough to be typed.
    let seed = wanted.unwrap_or_else(|| fastrand::u64(..1 << 48));
    progress.note(&format!("seed {seed}"));
    seed
}
