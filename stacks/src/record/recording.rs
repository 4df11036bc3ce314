//! One recording: what a version of a server has answered. A folder with a file for each answer, and `about.json`.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

const ABOUT: &str = "about.json";
/// The lines around the table in the README.
const BEGIN: &str = "<!-- written by `make record` -->\n";
const END: &str = "<!-- end -->\n";

/// The answers of one version of a server.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The program.
    pub server: String,
    /// As the server tells it; empty where it tells none.
    pub version: String,
    /// False for a stand-in.
    pub is_real: bool,
    /// The trace of the order that was asked about.
    pub trace: String,
    /// That order.
    pub order: String,
    /// By the name of the file without its ending.
    pub answers: BTreeMap<String, Answer>,
}

/// An answer, byte for byte.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

#[derive(Deserialize, Serialize)]
struct About {
    server: String,
    version: String,
    is_real: bool,
    trace: String,
    order: String,
    /// The status of each file.
    answers: BTreeMap<String, u16>,
}

impl Recording {
    /// All recordings in a directory, by server and version.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn all(directory: &Path) -> Result<Vec<Self>> {
        let Ok(entries) = fs::read_dir(directory) else { return Ok(Vec::new()) };
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
        let mut all: Vec<Self> = folders
            .map(|folder| {
                Self::read(&folder).with_context(|| format!("cannot read the recording {}", folder.display()))
            })
            .collect::<Result<_>>()?;
        all.sort_by_key(Self::folder);
        Ok(all)
    }

    fn read(folder: &Path) -> Result<Self> {
        let about: About = serde_json::from_slice(&fs::read(folder.join(ABOUT)).context(ABOUT)?)?;
        let answers = about.answers.into_iter().map(|(file, status)| {
            let body = fs::read(folder.join(&file)).with_context(|| file.clone())?;
            let name = file.split('.').next().unwrap_or_default().to_owned();
            Ok((name, Answer { status, body }))
        });
        let answers = answers.collect::<Result<_>>()?;
        let About { server, version, is_real, trace, order, .. } = about;
        Ok(Self { server, version, is_real, trace, order, answers })
    }

    /// The name of its folder.
    pub fn folder(&self) -> String {
        if self.version.is_empty() {
            self.server.clone()
        } else {
            format!("{}-{}", self.server, self.version)
        }
    }

    /// Writes it into a directory, in place of one of the same server and version.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let folder = directory.join(self.folder());
        let write = || -> Result<()> {
            // Answers about another order would stay.
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder)?;
            let mut answers = BTreeMap::new();
            for (name, answer) in &self.answers {
                let is_json = serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok();
                let file = format!("{name}.{}", if is_json { "json" } else { "txt" });
                fs::write(folder.join(&file), &answer.body)?;
                answers.insert(file, answer.status);
            }
            let Self { server, version, is_real, trace, order, .. } = self.clone();
            let about = About { server, version, is_real, trace, order, answers };
            Ok(fs::write(folder.join(ABOUT), serde_json::to_string_pretty(&about)? + "\n")?)
        };
        write().with_context(|| format!("cannot write the recording {}", folder.display()))
    }

    /// The one to compare a new one with: of the same version, or else the newest of the server.
    pub(super) fn nearest<'a>(all: &'a [Self], new: &Self) -> Option<&'a Self> {
        let of_server = || all.iter().filter(|old| old.server == new.server);
        of_server().find(|old| old.version == new.version).or_else(|| of_server().next_back())
    }
}

/// The table of recordings: server, version, real or stand-in, number of answers.
pub fn table(all: &[Recording]) -> String {
    let mut table = String::from("| server | version | real or stand-in | answers |\n|---|---|---|--:|\n");
    for Recording { server, version, is_real, answers, .. } in all {
        let what = if *is_real { "real" } else { "stand-in" };
        let version = if version.is_empty() { "ours" } else { version };
        table += &format!("| {server} | {version} | {what} | {} |\n", answers.len());
    }
    table
}

/// The README with another table.
pub(super) fn with_table(readme: &str, table: &str) -> String {
    let (before, rest) = readme.split_once(BEGIN).unwrap_or((readme, ""));
    let after = rest.split_once(END).map_or("", |(_, after)| after);
    format!("{before}{BEGIN}{table}{END}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recording(body: &str) -> Recording {
        let answer = Answer { status: 200, body: body.into() };
        Recording {
            server: "loki".into(),
            version: "3.7.6".into(),
            is_real: true,
            trace: "aa".into(),
            order: "o-1".into(),
            answers: [("labels".to_owned(), answer)].into(),
        }
    }

    #[test]
    fn a_recording_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        recording("no JSON").write(directory.path()).unwrap();
        recording("{}").write(directory.path()).unwrap();
        let all = Recording::all(directory.path()).unwrap();
        assert_eq!(
            (all.len(), &*all[0].folder(), &*all[0].answers["labels"].body),
            (1, "loki-3.7.6", &b"{}"[..])
        );
        assert!(!directory.path().join("loki-3.7.6/labels.txt").exists());
    }

    #[test]
    fn the_table_in_the_readme_is_replaced() {
        let readme = format!("a\n{BEGIN}old\n{END}b\n");
        let new = with_table(&readme, &table(&[recording("{}")]));
        assert!(new.starts_with("a\n") && new.ends_with("b\n") && !new.contains("old"), "{new}");
        assert!(new.contains("| loki | 3.7.6 | real | 1 |"), "{new}");
    }
}
