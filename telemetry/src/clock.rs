//! Times as every signal counts them: from the Unix epoch.

use std::time::{Duration, SystemTime};

/// The time since the Unix epoch; zero while the clock is set before it.
pub(crate) fn now() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    #[cfg(test)]
    let now = now + step::taken();
    now
}

/// A clock that tests step, for their thread alone.
#[cfg(test)]
pub(crate) mod step {
    use std::cell::Cell;
    use std::time::Duration;

    thread_local! {
        static TAKEN: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    pub(super) fn taken() -> Duration {
        TAKEN.get()
    }

    /// Sets the clock of this thread forward.
    pub(crate) fn forward(by: Duration) {
        TAKEN.set(TAKEN.get() + by);
    }
}
