//! What is measured against each other.

use std::path::{Path, PathBuf};

/// One kind of trial.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// Its name in reports: `off`, `on`, `base off` or `base on`.
    pub(super) name: String,
    /// True with telemetry on.
    pub(super) observed: bool,
    /// The directory of the binaries.
    pub(super) binaries: PathBuf,
}

impl Variant {
    /// Telemetry off and everything on, for the same binaries.
    pub(super) fn pair(prefix: &str, binaries: &Path) -> [Self; 2] {
        [("off", false), ("on", true)].map(|(name, observed)| Self {
            name: format!("{prefix}{name}"),
            observed,
            binaries: binaries.to_owned(),
        })
    }
}
