//! A copy of the tree to mutate, with a target directory of its own. The files keep their modification times, so that
//! cargo compiles only the crates that a patch changes.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::patch::Patch;
use crate::cargo;

/// A copy of the tree.
pub(super) struct Tree {
    original: PathBuf,
    directory: PathBuf,
    /// The directory of the binaries.
    profile: PathBuf,
    applied: Vec<Patch>,
}

impl Tree {
    /// Copies the files that git does not ignore, and what was built of them in `profile`, such as `target/debug`.
    pub(super) fn copy(original: &Path, profile: &Path, directory: &Path) -> Result<Self> {
        let original =
            original.canonicalize().with_context(|| format!("cannot find {}", original.display()))?;
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", directory.display()));
            }
            _ => {}
        }
        let name = profile.file_name().context("the binaries are in no directory of cargo's")?;
        let (profile_of_copy, directory) = (directory.join("target").join(name), directory.to_owned());
        let tree = Self { original, directory, profile: profile_of_copy, applied: Vec::new() };
        for file in files(&tree.original)? {
            match cargo::copy(&tree.original.join(&file), &tree.root().join(&file)) {
                // Git tracks it, and it is removed from the working tree.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                copied => copied.with_context(|| format!("cannot copy {file}"))?,
            }
        }
        cargo::seed(profile, &tree.target())?;
        Ok(tree)
    }

    /// Applies the patches and builds the workspace; returns the directory of the binaries. Patches of earlier calls are
    /// reverted where they would meet a new one: a service without a new mutant is not built again.
    ///
    /// # Errors
    /// When a patch does not apply, or the mutants do not compile.
    pub(super) fn build(&mut self, batch: &[&Patch]) -> Result<&Path> {
        let stays =
            |old: &Patch| old.service().is_some() && batch.iter().all(|new| new.service() != old.service());
        let (stay, go): (Vec<Patch>, Vec<Patch>) = self.applied.drain(..).partition(stays);
        self.applied = stay;
        for file in go.iter().flat_map(|patch| &patch.files) {
            // With a new modification time, for what was built of the mutant is older.
            fs::copy(self.original.join(file), self.root().join(file))
                .with_context(|| format!("cannot restore {file}"))?;
        }
        for patch in batch {
            patch.apply(&self.root(), None)?;
            self.applied.push((*patch).clone());
        }
        let names: Vec<&str> = batch.iter().map(|patch| patch.name.as_str()).collect();
        cargo::build(&self.root(), &self.target(), &["--workspace", "--all-features"])
            .with_context(|| format!("cannot build {}", names.join(", ")))?;
        Ok(&self.profile)
    }

    /// Removes the copy and its target directory.
    pub(super) fn remove(self) -> Result<()> {
        let Self { directory, .. } = self;
        fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))
    }

    fn root(&self) -> PathBuf {
        self.directory.join("tree")
    }

    fn target(&self) -> PathBuf {
        self.directory.join("target")
    }
}

/// The files of a tree, relative to its root.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let listed = git.output().context("cannot run git")?;
    let said = String::from_utf8_lossy(&listed.stderr);
    ensure!(listed.status.success(), "git cannot list the files of the tree: {}", said.trim());
    let names = String::from_utf8(listed.stdout).context("a file of the tree has no name in UTF-8")?;
    Ok(names.split_terminator('\0').map(str::to_owned).collect())
}
