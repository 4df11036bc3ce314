//! The last outcome of the writer, for readiness.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::StoreError;

/// Shared by the writer, the checker of a large file, and the readiness probe.
#[derive(Clone, Default)]
pub(crate) struct Health(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Stays once it is found.
    damage: Option<String>,
    failure: Option<StoreError>,
}

impl Health {
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
        let failure = self.damage().or_else(|| self.lock().failure.clone());
        failure.map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic can't leave a state half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
