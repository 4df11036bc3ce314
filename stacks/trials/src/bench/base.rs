//! Builds an earlier revision in a git worktree of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::cargo;

/// The packages of `make up`: with the same ones, both builds have the same features.
const PACKAGES: [&str; 8] = ["-p", "gateway", "-p", "payment", "-p", "mailer", "-p", "stacks"];

/// Builds a revision like the binaries here, and returns the directory of its binaries. The worktree stays below
/// `target/bench`, so that a later run builds nothing again.
///
/// # Errors
/// When there is no such revision, or it cannot be built.
pub(super) fn build(root: &Path, binaries: &Path, revision: &str) -> Result<PathBuf> {
    let target = binaries.parent().context("the binaries are in no directory of cargo's")?;
    let commit = git(root, &["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])
        .with_context(|| format!("there is no revision `{revision}`"))?;
    let base = target.join("bench").join(commit.trim().get(..12).unwrap_or_default());
    let (tree, built) = (base.join("tree"), base.join("target"));
    if !tree.exists() {
        // Git remembers worktrees that `cargo clean` has removed.
        git(root, &["worktree", "prune"])?;
        git(root, &["worktree", "add", "--detach", &tree.to_string_lossy(), commit.trim()])?;
        cargo::seed(binaries, &built)?;
    }
    let profile = binaries.file_name().unwrap_or_default();
    let release: &[&str] = if profile == "release" { &["--release"] } else { &[] };
    cargo::build(&tree, &built, &[release, &PACKAGES].concat())
        .with_context(|| format!("cannot build the revision {revision}"))?;
    Ok(built.join(profile))
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").args(arguments).current_dir(root).output().context("cannot run git")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "git {} failed: {}", arguments[0], said.trim());
    String::from_utf8(output.stdout).context("git did not answer in UTF-8")
}
