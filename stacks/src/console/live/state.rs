//! The orders and the samples of which the hub has only changes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{super::hub::Change, board::Board, metrics::Sample};

/// Samples that are kept: five minutes.
const MAX_SAMPLES: usize = 300;

/// The state behind the topics `orders` and `samples`.
#[derive(Default)]
pub(in crate::console) struct Live {
    board: Mutex<Board>,
    samples: Mutex<VecDeque<Sample>>,
}

impl Live {
    /// All of it, for a page that has just been opened.
    pub(in crate::console) fn snapshot(&self) -> Vec<Change> {
        let orders = serde_json::to_string(&self.board().all()).unwrap_or_default();
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = serde_json::to_string(&samples.iter().collect::<Vec<&Sample>>()).unwrap_or_default();
        vec![("orders", orders.into()), ("samples", samples.into())]
    }

    /// The newest orders.
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a sample, and forgets the oldest one.
    pub(super) fn keep(&self, sample: Sample) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(sample);
        while samples.len() > MAX_SAMPLES {
            samples.pop_front();
        }
    }
}
