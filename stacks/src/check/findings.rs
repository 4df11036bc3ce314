//! The problems that a check finds.

use std::fmt;

/// A problem of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path from the root of the repository.
    pub file: String,
    /// The problem.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a problem, once.
    pub fn add(&mut self, file: &str, what: String) {
        let finding = Finding { file: file.to_owned(), what };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// All problems, in the order of finding.
    pub fn all(&self) -> &[Finding] {
        &self.0
    }
}
