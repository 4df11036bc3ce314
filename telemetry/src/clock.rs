//! Moments, as everything that is sent counts them: from the Unix epoch.

use std::time::{Duration, SystemTime};

/// How long ago the Unix epoch was; zero while the clock is set before it.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
