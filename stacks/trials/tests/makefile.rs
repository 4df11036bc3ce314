//! The Makefile finds the binaries wherever cargo builds, and quotes the path.

#![expect(clippy::unwrap_used, reason = "all of this crate is a test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A target directory with a `stacks` that prints its arguments.
fn target_directory(parent: &Path) -> PathBuf {
    let target = parent.join("a target");
    let stacks = target.join("release/stacks");
    fs::create_dir_all(target.join("release")).unwrap();
    fs::write(&stacks, "#!/bin/sh\necho \"stacks ran: $*\"\n").unwrap();
    fs::set_permissions(&stacks, fs::Permissions::from_mode(0o755)).unwrap();
    target
}

fn make(arguments: &[&str], settings: &[(&str, &Path)]) -> Output {
    let mut make = Command::new("make");
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "MAKEFLAGS", "MAKELEVEL"] {
        make.env_remove(variable);
    }
    make.args(arguments).current_dir(ROOT).envs(settings.iter().copied()).output().unwrap()
}

fn assert_status_runs(settings: &[(&str, &Path)]) {
    let made = make(&["status"], settings);
    assert_eq!(String::from_utf8_lossy(&made.stdout), "stacks ran: status\n", "{settings:?}: {made:?}");
}

#[test]
fn the_target_directory_may_come_from_each_variable() {
    let dir = tempfile::tempdir().unwrap();
    let target = target_directory(dir.path());
    for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        assert_status_runs(&[(variable, &target)]);
    }
}

#[test]
fn the_target_directory_may_come_from_cargos_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let target = target_directory(dir.path());
    let configuration = format!("[build]\ntarget-dir = {:?}\n", target.display().to_string());
    fs::write(dir.path().join("config.toml"), configuration).unwrap();
    assert_status_runs(&[("CARGO_HOME", dir.path())]);
}

#[test]
fn every_recipe_quotes_the_target_directory() {
    let dir = tempfile::tempdir().unwrap();
    let target = target_directory(dir.path());
    let targets =
        ["test", "check-stacks", "faults", "campaign", "mutants", "bench", "compare", "up-classic", "clean"];
    let made = make(&[&["--dry-run", "HOURS=1"], &targets[..]].concat(), &[("CARGO_TARGET_DIR", &target)]);
    assert!(made.status.success(), "{made:?}");
    let (said, path) = (String::from_utf8_lossy(&made.stdout), target.display().to_string());
    let (all, quoted) = (said.matches(&path).count(), said.matches(&format!("\"{path}/")).count());
    assert!(all >= targets.len() && all == quoted, "{quoted} of {all} are quoted: {said}");
}
