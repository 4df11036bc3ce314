//! The system under load, as a fault finds it.

use std::{ops::Range, time::Duration};

use tokio::time::sleep;

use super::{load::Load, system::System};

/// The system, its clients and the randomness of one fault.
pub(crate) struct Scene<'a> {
    /// The system to break.
    pub(crate) system: &'a mut System,
    /// The clients at work.
    pub(crate) load: &'a Load,
    /// Decides when to break the system, and for how long.
    pub(crate) random: fastrand::Rng,
}

impl Scene<'_> {
    /// Waits for a random time within these milliseconds.
    pub(crate) async fn wait(&mut self, milliseconds: Range<u64>) {
        sleep(Duration::from_millis(self.random.u64(milliseconds))).await;
    }
}
