//! The registry of telemetry in the files of the repository, and the documents that are generated from it.

use std::fs;

use anyhow::{Context as _, Result, bail};

use super::{files::Tree, findings::Findings};
use crate::registry::{
    Registry, has_tables,
    read::{self, CONVENTIONS, FOLDER},
    with_tables,
};

/// Reads the registry; its mistakes are findings.
pub fn read(tree: &Tree, findings: &mut Findings) -> Registry {
    let (registry, mistakes) = read::read(tree.values(FOLDER).chain(tree.values(CONVENTIONS)));
    for (file, what) in mistakes {
        findings.add(&file, what);
    }
    registry
}

/// What the registry defines, in a few words.
pub(super) fn summary(registry: &Registry) -> String {
    format!(
        "{} metrics, {} kinds of spans, {} log events",
        registry.metrics.len(),
        registry.spans.len(),
        registry.events.len()
    )
}

/// Checks that the documents have the tables of the registry.
pub fn check_documents(tree: &Tree, registry: &Registry, findings: &mut Findings) {
    for (file, text) in documents(tree) {
        match with_tables(registry, text) {
            Ok(expected) if expected == text => {}
            Ok(_) => findings.add(file, "differs from the registry; run `make registry`".into()),
            Err(problem) => findings.add(file, problem),
        }
    }
}

/// Writes the tables of the registry into the documents of the repository in `root`; returns those that have changed.
///
/// # Errors
/// When the registry has a mistake, or a document cannot be written.
pub fn write_documents(root: &std::path::Path) -> Result<Vec<String>> {
    let mut findings = Findings::default();
    let tree = Tree::read(root, &mut findings)?;
    let registry = read(&tree, &mut findings);
    let mut changed = Vec::new();
    for (file, text) in documents(&tree) {
        match with_tables(&registry, text) {
            Ok(expected) if expected == text => {}
            Ok(expected) => {
                fs::write(tree.root().join(file), expected)
                    .with_context(|| format!("cannot write {file}"))?;
                changed.push(file.to_owned());
            }
            Err(problem) => findings.add(file, problem),
        }
    }
    if let Some(finding) = findings.all().first() {
        bail!("cannot write all documents: {finding}");
    }
    Ok(changed)
}

fn documents(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.texts("").filter(|(file, text)| file.ends_with(".md") && has_tables(text))
}
