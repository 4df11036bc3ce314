//! Rows of results, for machines.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// Writes a value as JSON, and makes the directory of the file.
pub(crate) fn write(value: &(impl Serialize + ?Sized), file: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(value).context("cannot write the rows as JSON")?;
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}
