//! One mutant: a patch with a header that says what it does and what must catch it.
//!
//! ```text
//! # An order is answered before its payment is committed.
//! # caught-by: payment-locked
//! # says: K4
//! # quick
//! --- a/payment/src/ledger.rs
//! +++ b/payment/src/ledger.rs
//! ```
//!
//! `caught-by` names a fault, or `prove`; `says` is a part of what it must report; `quick` mutants run in `make test`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::faults::catalogue::{self, Named};

/// Where the patches are, below the root of the tree.
const DIRECTORY: &str = "stacks/trials/mutants";
/// The services: a patch that touches nothing outside one of these directories changes one binary.
const SERVICES: [&str; 3] = ["gateway", "payment", "mailer"];
/// Belongs to the contract and so to all services, although it lies in the directory of one.
const CONTRACT: &str = "payment/api/";

/// What must catch a mutant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Catcher {
    /// The checker, under a fault.
    Fault(Named),
    /// `stacks prove`.
    Prove,
}

impl Catcher {
    /// Its name in headers and reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Fault((name, _)) => name,
            Self::Prove => "prove",
        }
    }
}

/// A mutant.
#[derive(Clone, Debug)]
pub(super) struct Patch {
    /// `<service>.<bug>`, the name of its file.
    pub(super) name: String,
    /// What it does, in one sentence.
    pub(super) description: String,
    pub(super) catcher: Catcher,
    /// A part of what the catcher must report.
    pub(super) says: String,
    /// Whether `make test` has time for it.
    pub(super) quick: bool,
    /// The files that it changes, relative to the root.
    pub(super) files: Vec<String>,
    pub(super) file: PathBuf,
}

impl Patch {
    /// All mutants of a tree, by name.
    pub(super) fn all(root: &Path) -> Result<Vec<Self>> {
        let directory = root.join(DIRECTORY);
        let failed = || format!("cannot read the mutants in {}", directory.display());
        let mut patches = Vec::new();
        for entry in fs::read_dir(&directory).with_context(failed)? {
            let file = entry.with_context(failed)?.path();
            let text = fs::read_to_string(&file).with_context(failed)?;
            let wrong = || format!("{} is not a mutant", file.display());
            patches.push(Self::read(&file, &text).with_context(wrong)?);
        }
        patches.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(patches)
    }

    fn read(file: &Path, text: &str) -> Result<Self> {
        let mut patch = Self {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            description: String::new(),
            catcher: Catcher::Prove,
            says: String::new(),
            quick: false,
            files: Vec::new(),
            file: file.canonicalize()?,
        };
        let mut catcher = None;
        for line in text.lines().map_while(|line| line.strip_prefix("# ")) {
            match line.split_once(": ") {
                Some(("caught-by", "prove")) => catcher = Some(Catcher::Prove),
                Some(("caught-by", fault)) => {
                    let fault =
                        catalogue::find(fault).with_context(|| format!("there is no fault `{fault}`"))?;
                    catcher = Some(Catcher::Fault(fault));
                }
                Some(("says", part)) => part.clone_into(&mut patch.says),
                None if line == "quick" => patch.quick = true,
                _ if patch.description.is_empty() => line.clone_into(&mut patch.description),
                _ => bail!("its header has an unknown line `{line}`"),
            }
        }
        patch.catcher = catcher.context("its header lacks `# caught-by: <fault>` or `# caught-by: prove`")?;
        ensure!(!patch.description.is_empty(), "its header does not say what it does");
        patch.files =
            text.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(str::to_owned).collect();
        ensure!(!patch.files.is_empty(), "it changes no file");
        Ok(patch)
    }

    /// The only service whose binary it changes, if there is one.
    pub(super) fn service(&self) -> Option<&'static str> {
        let is_of = |file: &String, service: &str| {
            !file.starts_with(CONTRACT)
                && file.strip_prefix(service).is_some_and(|rest| rest.starts_with('/'))
        };
        SERVICES.into_iter().find(|service| self.files.iter().all(|file| is_of(file, service)))
    }

    /// Changes the tree in this directory, or with `--check` finds out whether it could.
    ///
    /// # Errors
    /// When the patch does not apply.
    pub(super) fn apply(&self, root: &Path, option: Option<&str>) -> Result<()> {
        let root = root.canonicalize().with_context(|| format!("cannot find {}", root.display()))?;
        let mut git = Command::new("git");
        git.arg("apply").args(option).arg(&self.file).current_dir(&root);
        // In a directory of a repository, git would skip what is not below that directory in the repository.
        git.env_remove("GIT_DIR").env("GIT_CEILING_DIRECTORIES", root.parent().unwrap_or(&root));
        let output = git.output().context("cannot run git")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the mutant {} does not apply: {}", self.name, said.trim());
        Ok(())
    }
}
