//! Tools from npm, each at one version: the repository holds no code of others.

use std::{path::PathBuf, process::Command};

/// The `node_modules` with this package, `NAME@VERSION`; none where npm cannot fetch it.
pub(super) fn installed(package: &str) -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(package);
    let modules = dir.join("node_modules");
    if !modules.exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-save", "--ignore-scripts", "--prefix"]).arg(&dir).arg(package);
        if !npm.status().is_ok_and(|status| status.success()) {
            return None;
        }
    }
    Some(modules)
}
