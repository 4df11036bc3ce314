//! The last outcome of the writer, and whether it hangs, for readiness.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::StoreError;
use crate::error::Cause;

/// For one group. A server that does not answer for so long is given up, and connected to again; a disk can't be given up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// Shared by the writer, the checker of a large file, and the readiness probe.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Stays once it is found.
    damage: Option<String>,
    failure: Option<StoreError>,
    /// When the group that runs began.
    begun: Option<Instant>,
}

impl Health {
    /// A group begins, or has ended.
    pub(crate) fn at_work(&self, is_at_work: bool) {
        self.lock().begun = is_at_work.then(Instant::now);
    }

    /// Keeps the failure of the last group, or that it had none.
    pub(crate) fn set(&self, failure: Option<StoreError>) {
        let mut state = self.lock();
        if let Some(damage) = failure.as_ref().and_then(StoreError::damage) {
            state.damage = Some(damage);
        }
        state.failure = failure;
    }

    pub(crate) fn damage(&self) -> Option<StoreError> {
        self.lock().damage.clone().map(StoreError::Corrupt)
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.damage().or_else(|| self.lock().failure()).map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic can't leave a state half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn failure(&self) -> Option<StoreError> {
        let hangs = self.begun.is_some_and(|begun| begun.elapsed() > DEADLINE);
        if hangs { Some(StoreError::Refused(Cause::Late(DEADLINE))) } else { self.failure.clone() }
    }
}
