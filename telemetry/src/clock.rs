//! Times as every signal counts them: from the Unix epoch.

use std::time::{Duration, SystemTime};

/// The time since the Unix epoch; zero while the clock is set before it.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
