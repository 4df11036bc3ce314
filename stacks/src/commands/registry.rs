//! `stacks registry`: writes the tables of the registry into the documents.

use anyhow::Result;

use crate::{check::contract::write_documents, output::show, settings::Options};

/// Writes the tables of the registry into the documents, and names those that have changed.
///
/// # Errors
/// When the registry has a mistake, or a document cannot be written.
pub fn registry(options: &Options) -> Result<()> {
    let changed = write_documents(&options.dir)?;
    show(&match changed.as_slice() {
        [] => "every document has the tables of the registry\n".to_owned(),
        files => files.iter().map(|file| format!("written: {file}\n")).collect(),
    })
}
