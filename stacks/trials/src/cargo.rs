//! Builds of other trees by cargo, with all that was compiled for this one.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// Lines of cargo's output to show when a build fails.
const MAX_LINES: usize = 30;

/// Builds in a tree.
///
/// # Errors
/// When the build fails; the last lines of cargo are quoted.
pub(crate) fn build(tree: &Path, target: &Path, arguments: &[&str]) -> Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.arg("build").args(arguments).args(["--locked", "--offline", "--target-dir"]).arg(target);
    let output = cargo.current_dir(tree).stdin(Stdio::null()).output().context("cannot run cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(MAX_LINES)..].join("\n");
    ensure!(output.status.success(), "cargo failed:\n{end}");
    Ok(())
}

/// Fills a target directory with what was built in `profile`, such as `target/debug`. Libraries and programs become hard
/// links, for rustc and linkers replace them; the rest is copied, for cargo writes fingerprints in place.
///
/// Cargo identifies a unit of the workspace by its path below the root, and decides by modification times whether it
/// is fresh. A tree whose files have the times of this one has nothing to compile then; any other one still takes over
/// the crates of others.
pub(crate) fn seed(profile: &Path, target: &Path) -> Result<()> {
    let name = profile.file_name().context("the binaries are in no directory of cargo's")?;
    for part in ["deps", "build", ".fingerprint"] {
        let (from, to) = (profile.join(part), target.join(name).join(part));
        link_or_copy(&from, &to).with_context(|| format!("cannot link the files of {}", from.display()))?;
    }
    Ok(())
}

fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let from = entry?.path();
        let to = to.join(from.file_name().unwrap_or_default());
        if from.is_dir() {
            link_or_copy(&from, &to)?;
        } else if is_replaced(&from)? {
            fs::hard_link(&from, &to)?;
        } else {
            copy(&from, &to)?;
        }
    }
    Ok(())
}

/// True for libraries and programs.
fn is_replaced(file: &Path) -> io::Result<bool> {
    let is_library = file.extension().is_some_and(|kind| kind == "rlib" || kind == "rmeta");
    Ok(is_library || fs::metadata(file)?.permissions().mode() & 0o111 != 0)
}

/// Copies a file with its modification time.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let modified = fs::metadata(from)?.modified()?;
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::copy(from, to)?;
    File::open(to)?.set_modified(modified)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_seed_links_libraries_and_copies_fingerprints() {
        let dir = tempfile::tempdir().unwrap();
        let (profile, target) = (dir.path().join("debug"), dir.path().join("other"));
        for (file, text) in
            [("deps/liba-1.rlib", "a"), (".fingerprint/a-1/lib-a", "b"), ("build/a-1/output", "c")]
        {
            fs::create_dir_all(profile.join(file).parent().unwrap()).unwrap();
            fs::write(profile.join(file), text).unwrap();
        }
        seed(&profile, &target).unwrap();
        let about = |root: &Path, file: &str| fs::metadata(root.join(file)).unwrap();
        for (file, is_linked) in
            [("deps/liba-1.rlib", true), (".fingerprint/a-1/lib-a", false), ("build/a-1/output", false)]
        {
            let (old, new) = (about(&profile, file), about(&target.join("debug"), file));
            assert_eq!(old.ino() == new.ino(), is_linked, "{file}");
            assert_eq!(old.modified().unwrap(), new.modified().unwrap(), "{file}");
        }
    }
}
