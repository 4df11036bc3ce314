//! What is measured against each other.

use std::path::{Path, PathBuf};

/// One kind of trial.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    /// Its name in reports: `off` or `on`, after `base` or `grown` where it is one of these.
    pub(super) name: String,
    /// True with telemetry on.
    pub(super) observed: bool,
    /// True with files that have many settled orders.
    pub(super) grown: bool,
    /// The directory of the binaries.
    pub(super) binaries: PathBuf,
}

impl Variant {
    /// Telemetry off and everything on, for the same binaries.
    pub(super) fn pair(prefix: &str, binaries: &Path) -> [Self; 2] {
        [("off", false), ("on", true)].map(|(name, observed)| Self {
            name: format!("{prefix}{name}"),
            observed,
            grown: false,
            binaries: binaries.to_owned(),
        })
    }
    /// The same with files that have many settled orders.
    pub(super) fn grown(binaries: &Path) -> [Self; 2] {
        Self::pair("grown ", binaries).map(|variant| Self { grown: true, ..variant })
    }
}
