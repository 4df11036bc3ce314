//! The keys of payments that are being settled.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The keys that are held; clones share them.
#[derive(Clone, Default)]
pub(super) struct Keys(Arc<Mutex<HashSet<String>>>);

/// A key that is held until this is dropped.
pub(super) struct Held {
    keys: Keys,
    key: String,
}

impl Keys {
    /// Holds a key, unless it is held already.
    pub(super) fn hold(&self, key: &str) -> Option<Held> {
        let is_new = self.lock().insert(key.to_owned());
        is_new.then(|| Held { keys: self.clone(), key: key.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        // A panic can't leave a set half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.keys.lock().remove(&self.key);
    }
}
