//! Prometheus, Alertmanager and Redis as the system's packages install them.

use std::{ffi::OsStr, os::unix::fs::PermissionsExt as _, path::PathBuf};

use crate::settings::Settings;

/// The names of a program; the first one that is found counts.
pub(super) const PROMETHEUS: &[&str] = &["prometheus"];
/// Debian's package gives Alertmanager another name than its own.
pub(super) const ALERTMANAGER: &[&str] = &["prometheus-alertmanager", "alertmanager"];

/// The server of Redis, or of Valkey.
pub(super) const REDIS: &[&str] = &["redis-server", "valkey-server"];

/// True unless `ALERTS=off`.
pub(super) fn are_alerts_wanted(settings: &Settings) -> bool {
    settings.get("ALERTS").is_none_or(|value| value != "off")
}

/// True if Prometheus and Alertmanager are both in `PATH`.
pub(super) fn can_alert(settings: &Settings) -> bool {
    find(settings, PROMETHEUS).is_some() && find(settings, ALERTMANAGER).is_some()
}

/// The path of a program in `PATH`.
pub(super) fn find(settings: &Settings, names: &[&str]) -> Option<PathBuf> {
    let path = settings.get("PATH")?;
    let is_program = |file: &PathBuf| {
        file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let mut files =
        names.iter().flat_map(|name| std::env::split_paths(OsStr::new(path)).map(move |dir| dir.join(name)));
    files.find(is_program)
}
