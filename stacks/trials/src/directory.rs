//! A directory in the system's place for temporary files that stays where something went wrong.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use uuid::Uuid;

/// A new directory; it stays unless it is [removed](Directory::remove).
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Makes a directory with this word in its name.
    pub(crate) fn new(word: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("omnitrace-{word}-{}", Uuid::new_v4().simple()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Removes it with all that is in it.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.0).with_context(|| format!("cannot remove {}", self.0.display()))
    }
}
