//! What the page shows live: the newest value of each topic, and every change for those who listen.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use tokio::sync::broadcast::{Receiver, Sender};

/// Changes that a slow listener may be behind; beyond, it has to connect again.
const MAX_BEHIND: usize = 256;

/// A change: its topic, and its value as JSON.
pub(super) type Change = (&'static str, Arc<str>);

/// The topics.
pub(super) struct Hub {
    newest: Mutex<BTreeMap<&'static str, Arc<str>>>,
    changes: Sender<Change>,
}

impl Hub {
    pub(super) fn new() -> Self {
        Self { newest: Mutex::default(), changes: Sender::new(MAX_BEHIND) }
    }

    /// Replaces the value of a topic, if it differs.
    pub(super) fn set(&self, topic: &'static str, value: &impl Serialize) {
        let Ok(text) = serde_json::to_string(value) else { return };
        let text: Arc<str> = text.into();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.get(topic) != Some(&text) {
            newest.insert(topic, text.clone());
            let _ = self.changes.send((topic, text));
        }
    }

    /// Sends a value that is part of what the topic shows.
    pub(super) fn add(&self, topic: &'static str, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            // Without listeners it is not missed.
            let _ = self.changes.send((topic, text.into()));
        }
    }

    /// The newest value of each topic, and all changes from now on.
    pub(super) fn listen(&self) -> (Vec<Change>, Receiver<Change>) {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.changes.subscribe();
        (newest.iter().map(|(topic, value)| (*topic, value.clone())).collect(), changes)
    }

    /// True while a page is open.
    pub(super) fn is_watched(&self) -> bool {
        self.changes.receiver_count() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_gets_the_newest_values_and_each_change_once() {
        let hub = Hub::new();
        hub.set("a", &1);
        hub.set("a", &2);
        let (newest, mut changes) = hub.listen();
        assert_eq!(newest, [("a", "2".into())]);
        hub.set("a", &2);
        hub.add("b", &3);
        assert_eq!(changes.try_recv().unwrap(), ("b", "3".into()));
        assert!(changes.try_recv().is_err());
        assert!(hub.is_watched());
        drop(changes);
        assert!(!hub.is_watched());
    }
}
