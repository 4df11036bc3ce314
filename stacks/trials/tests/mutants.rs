//! All patches of `make mutants`, and a few of them on the real system.

#![expect(clippy::unwrap_used, reason = "all of this crate is a test")]

use std::process::Command;

/// Runs `trials mutants` in the root of the tree; returns its standard output.
fn mutants(arguments: &[&str]) -> String {
    let mut trials = Command::new(env!("CARGO_BIN_EXE_trials"));
    trials.args(["--dir", concat!(env!("CARGO_MANIFEST_DIR"), "/../.."), "mutants"]).args(arguments);
    let run = trials.output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    said
}

#[test]
fn every_mutant_applies_to_the_current_code() {
    let said = mutants(&["--check"]);
    let count: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(count >= 24, "{said}");
}

#[test]
fn quick_mutants_are_caught() {
    let report = tempfile::NamedTempFile::new().unwrap();
    let said = mutants(&["--quick", "--report", report.path().to_str().unwrap()]);
    assert!(said.ends_with("5 of 5 mutants caught\n"), "{said}");
}
