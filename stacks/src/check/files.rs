//! The JSON, YAML and Markdown files of the repository.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::findings::Findings;

/// Directories with generated files.
const GENERATED: [&str; 7] = [".git", "corpus", "logs", "node_modules", "recorded", "target", "var"];

/// The files of a repository, by path from its root.
pub struct Tree {
    root: PathBuf,
    texts: BTreeMap<String, String>,
    values: BTreeMap<String, Vec<Value>>,
}

impl Tree {
    /// Reads all files; one that is not well formed is a finding.
    ///
    /// # Errors
    /// When the directory is no repository, or a file cannot be read.
    pub fn read(root: &Path, findings: &mut Findings) -> Result<Self> {
        let stacks = root.join("stacks");
        ensure!(
            stacks.is_dir(),
            "cannot find {}: run this in the root directory of the repository",
            stacks.display()
        );
        // Compose files are checked by absolute paths.
        let root = root.canonicalize().with_context(|| format!("cannot use {}", root.display()))?;
        let mut tree = Self { root: root.clone(), texts: BTreeMap::new(), values: BTreeMap::new() };
        tree.descend(&root, findings)?;
        Ok(tree)
    }

    fn descend(&mut self, directory: &Path, findings: &mut Findings) -> Result<()> {
        let cannot = || format!("cannot read {}", directory.display());
        for entry in fs::read_dir(directory).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let (path, name) = (entry.path(), entry.file_name());
            let kind = entry.file_type().with_context(cannot)?;
            if kind.is_dir() && !GENERATED.iter().any(|other| name == *other) {
                self.descend(&path, findings)?;
            } else if kind.is_file() {
                self.add(&path, findings)?;
            }
        }
        Ok(())
    }

    /// Replaces a file, for tests.
    #[cfg(test)]
    pub(super) fn replace(&mut self, name: &str, text: String) {
        self.values.insert(name.to_owned(), vec![serde_saphyr::from_str(&text).unwrap()]);
        self.texts.insert(name.to_owned(), text);
    }

    fn add(&mut self, path: &Path, findings: &mut Findings) -> Result<()> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if !["json", "md", "ndjson", "yaml", "yml"].contains(&extension) {
            return Ok(());
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path.strip_prefix(&self.root).unwrap_or(path).display().to_string();
        let parsed: Result<Vec<Value>, String> = match extension {
            "json" => serde_json::from_str(&text).map(|value| vec![value]).map_err(|error| error.to_string()),
            "ndjson" => {
                let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
                let read = |(at, line)| {
                    serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1))
                };
                lines.map(read).collect()
            }
            "yaml" | "yml" => {
                serde_saphyr::from_str(&text).map(|value| vec![value]).map_err(|error| error.to_string())
            }
            _ => Ok(Vec::new()),
        };
        match parsed {
            Ok(values) => self.values.insert(name.clone(), values).map_or((), drop),
            Err(error) => findings.add(&name, format!("is not well formed: {error}")),
        }
        self.texts.insert(name, text);
        Ok(())
    }

    /// The root directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The number of files.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// True if there are no files.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Paths and texts below a path.
    pub fn texts<'a>(&'a self, below: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let there = self.texts.iter().filter(move |(path, _)| path.starts_with(below));
        there.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Paths and documents below a path, without malformed ones.
    pub fn values<'a>(&'a self, below: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let there = self.values.iter().filter(move |(path, _)| path.starts_with(below));
        there.flat_map(|(path, values)| values.iter().map(|value| (path.as_str(), value)))
    }
}

/// Calls a function for a value and every value in it.
pub(super) fn visit<'a>(value: &'a Value, see: &mut impl FnMut(&'a Value)) {
    see(value);
    match value {
        Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        Value::Object(fields) => fields.values().for_each(|field| visit(field, see)),
        _ => {}
    }
}
