//! Something that each thread keeps for the next time.

use std::cell::Cell;
use std::thread::LocalKey;

/// Lends what this thread keeps in `place`.
///
/// Whoever asks while it is lent gets a new one: a value may log while it is formatted. So does a thread that ends.
pub(crate) fn lend<T: Default, R>(
    place: &'static LocalKey<Cell<Option<T>>>,
    work: impl FnOnce(&mut T) -> R,
) -> R {
    let mut kept = place.try_with(Cell::take).ok().flatten().unwrap_or_default();
    let answer = work(&mut kept);
    let _ = place.try_with(|place| place.set(Some(kept)));
    answer
}
