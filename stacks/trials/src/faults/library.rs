//! A library that is loaded into a service before its own, so that it sees another clock or other hosts.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

/// Debian has libraries below a directory of the machine's architecture.
const LIBRARIES: &str = "/usr/lib";

/// The path of a library of a Debian package.
///
/// # Errors
/// When the package is not installed.
pub(super) fn find(library: &str, package: &str) -> Result<PathBuf> {
    let machines = fs::read_dir(LIBRARIES).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut libraries = machines.map(|machine| machine.join(library)).filter(|library| library.exists());
    let missing = || format!("cannot find {library}; install it with `stacks/local/install {package}`");
    libraries.next().with_context(missing)
}
