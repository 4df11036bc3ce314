//! The stacks in Docker, as far as a drill has to do with them: which one runs, and how a part of it is stopped.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use tokio::task::block_in_place;

use super::scene::Part;
use crate::backends::stack::Kind;

/// The stack that runs as this project; ELK beside another counts as the other, which raises alerts.
pub(super) fn running(project: &str) -> Option<Kind> {
    let mut command = command(project, &["ps", "--format", "json"]);
    command.stderr(Stdio::null());
    // No Docker, no stack in Docker.
    let output = command.output().ok()?;
    let services = services(&String::from_utf8_lossy(&output.stdout));
    let marks = [("jaeger", Kind::Classic), ("tempo", Kind::Lgtm), ("elasticsearch", Kind::Elk)];
    let runs = |name: &str| services.iter().any(|service| service == name);
    marks.into_iter().find_map(|(mark, kind)| runs(mark).then_some(kind))
}

/// The service of a part.
pub(super) fn container(kind: Kind, part: Part) -> &'static str {
    match (part, kind) {
        (Part::Mailer, _) => "mailer",
        (Part::Traces, Kind::Local | Kind::Classic) => "jaeger",
        (Part::Traces, Kind::Lgtm) => "tempo",
        (Part::Traces, Kind::Elk) => "apm-server",
    }
}

/// The services in what `docker compose ps` says: a list, or since 2.21 an object in each line.
fn services(said: &str) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Container {
        service: String,
    }
    let list = serde_json::from_str::<Vec<Container>>(said);
    let containers =
        list.unwrap_or_else(|_| said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect());
    containers.into_iter().map(|container| container.service).collect()
}

/// Runs `docker compose` for a project.
pub(super) fn compose(project: &str, arguments: &[&str]) -> Result<()> {
    let output = block_in_place(|| command(project, arguments).output()).context("cannot run docker")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`docker compose {}` failed: {}", arguments.join(" "), said.trim());
    Ok(())
}

fn command(project: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.args(["compose", "--project-name", project]).args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_services_of_both_forms_of_docker_compose_ps_are_read() {
        let list = r#"[{"Service":"mailer","State":"running"},{"Service":"jaeger","State":"running"}]"#;
        let lines = "{\"Service\":\"mailer\"}\n{\"Service\":\"jaeger\"}\n";
        for said in [list, lines] {
            assert_eq!(services(said), ["mailer", "jaeger"]);
        }
        assert_eq!(services(""), Vec::<String>::new());
    }
}
