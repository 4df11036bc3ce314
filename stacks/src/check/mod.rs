//! `stacks check`: whether what the services are observed with fits together, and fits what the services really say.
//! It needs no Docker: promtool, amtool, RabbitMQ and the built services are enough.

pub mod files;
pub mod grafana;
mod hosts;
mod live;
pub mod names;
pub mod prometheus;
pub mod promql;
mod queries;
pub mod rules;

#[cfg(test)]
mod tests;

use std::{fmt, io::Write as _};

use anyhow::{Context as _, Result};

use self::{files::Tree, names::Evidence};
use crate::{local::Options, progress::Progress};

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The path of the file, from the root of the repository.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.what)
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds one, unless it is there already.
    pub fn add(&mut self, file: &str, what: String) {
        let finding = Finding { file: file.to_owned(), what };
        if !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }

    /// All of them, in the order in which they were found.
    pub fn all(&self) -> &[Finding] {
        &self.0
    }
}

/// Checks the repository in a directory; says whether all is well.
pub async fn run(options: &Options) -> Result<bool> {
    let mut progress = Progress::for_terminal();
    let mut findings = Findings::default();

    progress.begin("files");
    let tree = Tree::read(&options.dir, &mut findings)?;
    progress.done(&format!("{} of JSON, YAML and Markdown", tree.len()));

    progress.begin("prometheus");
    prometheus::check_prometheus(&tree, &mut findings)?;
    prometheus::check_alertmanager(&tree, &mut findings)?;
    rules::check(&tree, &mut findings);
    progress.done(&format!("{} rules, by promtool; routes, by amtool", rules::rules(&tree).len()));

    progress.begin("rule tests");
    let tests = prometheus::run_rule_tests(&tree, &mut findings)?;
    progress.done(&format!("{tests} files of them, by promtool"));

    progress.begin("grafana");
    grafana::check(&tree, &mut findings);
    progress.done(&format!("{} queries", grafana::queries(&tree).len()));

    progress.begin("compose");
    hosts::check(&tree, &mut findings)?;
    progress.done("images, ports, limits, and who is reached by name");

    let evidence = live::witness(options, &mut progress).await?;
    names::check(&tree, &evidence, &mut findings);

    let mut out = std::io::stdout().lock();
    for finding in findings.all() {
        writeln!(out, "{finding}").context("cannot write to standard output")?;
    }
    progress.note(&match findings.all().len() {
        0 => "all is well".into(),
        1 => "one thing is wrong".into(),
        several => format!("{several} things are wrong"),
    });
    Ok(findings.all().is_empty())
}

/// All that can be checked without starting anything, but for what promtool and amtool say.
pub fn check_files(tree: &Tree, evidence: &Evidence, findings: &mut Findings) {
    rules::check(tree, findings);
    grafana::check(tree, findings);
    names::check(tree, evidence, findings);
}
