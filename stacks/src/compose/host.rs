//! What of this machine and its engine keeps containers from starting or from reading their files.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, path::PathBuf};

use super::{
    engine::{Engine, Info, patch_version},
    finding::{Finding, Level},
    plan::Plan,
};

/// Before it, the engine's seccomp profile answers clone3 with EPERM, and programs of newer images can't start a thread.
const MIN_ENGINE: (u32, u32, u32) = (20, 10, 10);
/// Files that one finding names.
const MAX_NAMED: usize = 3;
/// The permission bits of others: to read a file, and to enter a directory.
const READ: u32 = 0o004;
const ENTER: u32 = 0o001;

/// The findings about the engine itself.
pub(super) fn engine(engine: &Engine) -> Vec<Finding> {
    let Engine { info, has_buildx, root, .. } = engine;
    [old_engine(&info.server_version), without_buildx(*has_buildx), selinux(&info.security_options, root)]
        .into_iter()
        .flatten()
        .collect()
}

fn old_engine(version: &str) -> Option<Finding> {
    let is_old = patch_version(version).is_some_and(|found| found < MIN_ENGINE);
    is_old.then(|| {
        let text = format!(
            "Docker {version} forbids the system call clone3, so that programs in new images cannot start a thread: \
             update it to 20.10.10 or newer"
        );
        Finding::new(Level::Bad, "engine", text)
    })
}

fn without_buildx(has_buildx: bool) -> Option<Finding> {
    let text = "the buildx plugin is missing, with which newer Compose builds images: install docker-buildx-plugin of \
                Docker's packages, or docker-buildx of your distribution's";
    (!has_buildx).then(|| Finding::new(Level::Doubtful, "buildx", text))
}

/// Compose labels mounted files with `z`, and has no such option for secrets.
fn selinux(options: &[String], root: &Path) -> Option<Finding> {
    options.iter().any(|option| option.contains("name=selinux")).then(|| {
        let text = format!(
            "SELinux confines containers: if they cannot read their secrets, label them: `chcon -R -t container_file_t {}`",
            root.join("var/secrets").display()
        );
        Finding::new(Level::Doubtful, "selinux", text)
    })
}

/// The mounted files that a container's user cannot read, as after a clone under umask 077.
pub(super) fn unreadable(plan: &Plan, info: &Info) -> Option<Finding> {
    // Docker Desktop shares files with the rights of its own user.
    if info.operating_system.contains("Docker Desktop") {
        return None;
    }
    let sources = plan.project.services.values().flat_map(|service| &service.volumes);
    let mut sources: Vec<PathBuf> = sources
        .filter_map(|volume| volume.split(':').next().filter(|source| source.starts_with('/')))
        .map(PathBuf::from)
        .collect();
    sources.sort();
    sources.dedup();
    let mut found = Vec::new();
    for source in &sources {
        closed(source, &mut found);
    }
    let first = found.first()?;
    let named: Vec<_> = found.iter().take(MAX_NAMED).map(|path| path.display().to_string()).collect();
    let more = found
        .len()
        .checked_sub(MAX_NAMED + 1)
        .map_or(String::new(), |more| format!(" and {} more", more + 1));
    let below = plan.root.join("stacks");
    let place = if first.starts_with(&below) { &below } else { first };
    let text = format!(
        "containers cannot read {}{more}: `chmod -R go+rX {}`; a clone under umask 077 does that",
        named.join(", "),
        place.display()
    );
    Some(Finding::new(Level::Bad, "files", text))
}

fn closed(path: &Path, found: &mut Vec<PathBuf>) {
    // A missing file is a finding of Compose.
    let Ok(metadata) = fs::metadata(path) else { return };
    let wanted = if metadata.is_dir() { READ | ENTER } else { READ };
    if metadata.permissions().mode() & wanted != wanted {
        found.push(path.to_owned());
    } else if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| closed(entry, found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_before_20_10_10_is_bad() {
        for (version, is_bad) in [
            ("20.10.9", true),
            ("20.10.0-ce", true),
            ("19.03.15", true),
            ("20.10.10", false),
            ("28.2.2", false),
        ] {
            assert_eq!(
                old_engine(version).map(|finding| finding.level),
                is_bad.then_some(Level::Bad),
                "{version}"
            );
        }
    }

    #[test]
    fn selinux_and_a_missing_buildx_have_remedies() {
        let selinux = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(ToString::to_string).collect();
            selinux(&options, Path::new("/srv"))
        };
        assert!(selinux(&["name=seccomp,profile=builtin"]).is_none());
        let text = selinux(&["name=seccomp,profile=builtin", "name=selinux"]).unwrap().text;
        assert!(text.contains("chcon -R -t container_file_t /srv/var/secrets"), "{text}");
        assert!(without_buildx(true).is_none());
        assert!(without_buildx(false).unwrap().text.contains("docker-buildx-plugin"));
    }

    #[test]
    fn files_that_others_cannot_read_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        mode(dir.path(), 0o755);
        let (open, shut) = (dir.path().join("open"), dir.path().join("shut"));
        for (file, bits) in [(&open, 0o644), (&shut, 0o600)] {
            fs::write(file, "").unwrap();
            mode(file, bits);
        }
        let mut found = Vec::new();
        closed(dir.path(), &mut found);
        assert_eq!(found, [shut]);
        mode(dir.path(), 0o700);
        found.clear();
        closed(dir.path(), &mut found);
        assert_eq!(found, [dir.path()]);
    }
}
