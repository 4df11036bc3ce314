//! `stacks check`: whether rules, dashboards, Compose files and documents fit together and fit the registry of telemetry, and
//! whether the running services keep the registry. It needs promtool, amtool, RabbitMQ and the built services, and no Docker.

pub mod contract;
pub mod files;
mod findings;
pub mod grafana;
mod hosts;
mod live;
pub mod names;
pub mod prometheus;
pub mod promql;
mod queries;
mod receiver;
pub mod rules;

#[cfg(test)]
mod tests;

use anyhow::Result;

pub use self::findings::{Finding, Findings};
use self::{files::Tree, names::Known};
use crate::{output::show, progress::Progress, settings::Options};

/// Checks the repository in a directory; true if no problem was found.
///
/// # Errors
/// When a tool is missing, or the services cannot be started.
pub async fn run(options: &Options) -> Result<bool> {
    let mut progress = Progress::for_terminal();
    let mut findings = Findings::default();

    progress.begin("read files");
    let tree = Tree::read(&options.dir, &mut findings)?;
    progress.done(&format!("{} files of JSON, YAML and Markdown", tree.len()));

    progress.begin("check rules");
    prometheus::check_prometheus(&tree, &mut findings)?;
    prometheus::check_alertmanager(&tree, &mut findings)?;
    rules::check(&tree, &mut findings);
    progress.done(&format!("{} rules by promtool, routes by amtool", rules::rules(&tree).len()));

    progress.begin("test rules");
    let tests = prometheus::run_rule_tests(&tree, &mut findings)?;
    progress.done(&format!("{tests} files by promtool"));

    progress.begin("check dashboards");
    grafana::check(&tree, &mut findings);
    progress.done(&format!("{} queries", grafana::queries(&tree).len()));

    progress.begin("check compose");
    hosts::check(&tree, &mut findings)?;
    progress.done("images, ports, limits and host names");

    progress.begin("read registry");
    let registry = contract::read(&tree, &mut findings);
    contract::check_documents(&tree, &registry, &mut findings);
    progress.done(&contract::summary(&registry));

    let mut known = Known::of(&registry);
    live::witness(options, registry, &mut known, &mut findings, &mut progress).await?;
    names::check(&tree, &known, &mut findings);

    show(&findings.all().iter().map(|finding| format!("{finding}\n")).collect::<String>())?;
    progress.note(&format!("{} problems", findings.all().len()));
    Ok(findings.all().is_empty())
}
