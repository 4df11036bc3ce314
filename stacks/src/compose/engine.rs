//! The Docker engine and Compose, by their command lines.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use super::{container::Container, plan::Plan, variables::Variables};
use crate::local::short_hash;

/// The beginning of the Compose project of a checkout, unless `COMPOSE_PROJECT_NAME` names another.
const PROJECT: &str = "omnitrace";
/// The oldest Compose that the stacks were tried with.
const MIN_COMPOSE: (u32, u32) = (2, 26);
const LABEL: &str = "com.docker.compose.project";

/// An engine that answers, and a Compose that is new enough.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(super) root: PathBuf,
    project: String,
    pub(crate) compose: String,
    /// Newer Compose builds images with it.
    pub(crate) has_buildx: bool,
    pub(crate) info: Info,
    /// The least number of seconds by which the engine's clock is ahead of this machine's; negative when it is behind.
    pub(crate) ahead: f64,
}

/// The answer of `docker info`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Info {
    pub(crate) server_version: String,
    pub(crate) operating_system: String,
    pub(crate) mem_total: u64,
    pub(crate) docker_root_dir: PathBuf,
    /// The engine's clock, in RFC 3339.
    pub(crate) system_time: String,
    /// True if the engine can limit the memory of a container.
    pub(crate) memory_limit: bool,
    /// Such as `name=seccomp,profile=builtin` and `name=selinux`.
    #[serde(default)]
    pub(crate) security_options: Vec<String>,
}

/// True if this machine has a `docker` command.
pub(crate) async fn is_installed() -> bool {
    Command::new("docker").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().await.is_ok()
}

impl Engine {
    /// Finds the engine.
    pub(crate) async fn find(root: &Path, settings: &Variables) -> Result<Self> {
        let asked = OffsetDateTime::now_utc();
        let info = docker(&["info", "--format", "{{json .}}"]).await?;
        let answered = OffsetDateTime::now_utc();
        ensure!(info.status.success(), "{}", unreachable(&text(&info.stderr)));
        let info: serde_json::Value =
            serde_json::from_slice(&info.stdout).context("cannot read the answer of `docker info`")?;
        // Old clients answer without an engine, too.
        if let Some(error) = info["ServerErrors"].get(0).and_then(serde_json::Value::as_str) {
            bail!("{}", unreachable(error));
        }
        let info: Info = serde_json::from_value(info).context("cannot read the answer of `docker info`")?;
        let ahead = ahead(&info.system_time, asked, answered)?;
        let version = docker(&["compose", "version", "--short"]).await?;
        ensure!(
            version.status.success(),
            "Docker Compose is not installed: install docker-compose-plugin of Docker's packages, docker-compose-v2 of \
             Ubuntu's, or docker-compose of Debian 13's"
        );
        let compose = text(&version.stdout);
        let (major, minor) = MIN_COMPOSE;
        ensure!(
            self::version(&compose).is_some_and(|found| found >= MIN_COMPOSE),
            "Docker Compose {compose} is too old: the stacks need {major}.{minor} or newer"
        );
        let project = settings.get("COMPOSE_PROJECT_NAME").filter(|name| !name.is_empty());
        let project = project.cloned().unwrap_or_else(|| format!("{PROJECT}-{}", short_hash(root)));
        let has_buildx = docker(&["buildx", "version"]).await?.status.success();
        Ok(Self { root: root.to_owned(), project, compose, has_buildx, info, ahead })
    }

    /// The containers of the project, also those that have ended.
    pub(crate) async fn containers(&self) -> Result<Vec<Container>> {
        let arguments = ["ps", "--all", "--no-trunc", "--format", "json"];
        let output = self.command(&arguments).output().await.context("cannot run docker")?;
        ensure!(output.status.success(), "cannot list containers: {}", text(&output.stderr));
        let lines = text(&output.stdout);
        let containers = lines.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str);
        containers.collect::<Result<_, _>>().context("cannot read the answer of `docker compose ps`")
    }

    /// Refuses a project that runs from another checkout: each would take the other's containers for its own.
    pub(crate) fn ensure_ours(&self, containers: &[Container]) -> Result<()> {
        let mut dirs =
            containers.iter().filter(|container| container.runs()).filter_map(Container::working_dir);
        match dirs.find(|dir| !dir.starts_with(&self.root)) {
            None => Ok(()),
            Some(dir) => bail!(
                "cannot use the project {}: it runs from {}; run `make down` there, or set another COMPOSE_PROJECT_NAME \
                 here in .env",
                self.project,
                dir.display()
            ),
        }
    }

    /// True if an image is on this machine.
    pub(crate) async fn has_image(&self, image: &str) -> Result<bool> {
        Ok(docker(&["image", "inspect", "--format", "{{.Id}}", image]).await?.status.success())
    }

    /// The last lines of a service's console output.
    pub(crate) async fn last_words(&self, service: &str) -> String {
        let container = format!("{}-{service}-1", self.project);
        let said = match docker(&["logs", "--tail", "12", &container]).await {
            Ok(output) => text(&output.stdout) + &text(&output.stderr),
            Err(error) => error.to_string(),
        };
        let lines: Vec<String> = said.lines().map(|line| line.chars().take(300).collect()).collect();
        if lines.is_empty() {
            "its console output is empty".into()
        } else {
            format!("its last words:\n  {}", lines.join("\n  "))
        }
    }

    /// Runs `docker compose` on a plan; each line of its output goes to `show`.
    pub(crate) async fn compose(
        &self,
        plan: &Plan,
        arguments: &[&str],
        show: impl FnMut(&str),
    ) -> Result<()> {
        let mut command = self.command(&["--progress", "plain", "--file", "-"]);
        command.args(arguments).envs(&plan.variables);
        follow(command, &plan.file(&self.project), show).await
    }

    /// Runs `docker compose` on containers of the project, such as `stop mailer`.
    pub(crate) async fn control(&self, arguments: &[&str]) -> Result<()> {
        let command = self.command(&[&["--progress", "plain"], arguments].concat());
        follow(command, "", |_| {}).await
    }

    /// Stops and removes every container of the project; the volumes stay.
    pub(crate) async fn remove_containers(&self, show: impl FnMut(&str)) -> Result<()> {
        let command = self.command(&["--progress", "plain", "down", "--remove-orphans"]);
        follow(command, "", show).await
    }

    /// Removes every volume of the project, and returns their number.
    pub(crate) async fn remove_volumes(&self) -> Result<usize> {
        let filter = format!("label={LABEL}={}", self.project);
        let found = docker(&["volume", "ls", "--quiet", "--filter", &filter]).await?;
        let found = text(&found.stdout);
        let names: Vec<&str> = found.lines().collect();
        if !names.is_empty() {
            let removed = docker(&[&["volume", "rm"], &names[..]].concat()).await?;
            ensure!(removed.status.success(), "cannot remove volumes: {}", text(&removed.stderr));
        }
        Ok(names.len())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        // Settings come by the environment alone: Compose reads files by other rules than this program.
        command.args(["compose", "--env-file", "/dev/null", "--project-name", &self.project]).args(arguments);
        command.current_dir(&self.root).stdin(Stdio::null()).kill_on_drop(true);
        // Ctrl-C goes to this program alone: it knows when Compose may be cut off.
        command.process_group(0);
        // These would name other files or hide services.
        command.env_remove("COMPOSE_FILE").env_remove("COMPOSE_PROFILES");
        command
    }
}

/// The output of `docker` with these arguments.
///
/// # Errors
/// Says what to install.
pub async fn docker(arguments: &[&str]) -> Result<Output> {
    let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output().await;
    match output {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "Docker is not installed: install Docker Engine with its Compose plugin (https://docs.docker.com/engine/install), \
             or run `make up`, which needs no Docker"
        ),
        output => output.context("cannot run docker"),
    }
}

/// Runs a command with this input and shows each line of its output; an error quotes the last ones.
async fn follow(mut command: Command, input: &str, mut show: impl FnMut(&str)) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run docker")?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input ends with its own error.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let mut lines = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let mut reader = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = reader.next_line().await {
            if !line.trim().is_empty() {
                show(line.trim());
                lines.push(line);
            }
        }
    }
    let status = child.wait().await.context("cannot wait for docker")?;
    let last = lines[lines.len().saturating_sub(12)..].join("\n  ");
    ensure!(status.success(), "docker compose failed:\n  {last}");
    Ok(())
}

/// By how many seconds a time is outside of the two between which it was asked for.
fn ahead(told: &str, asked: OffsetDateTime, answered: OffsetDateTime) -> Result<f64> {
    let told = OffsetDateTime::parse(told, &Rfc3339)
        .with_context(|| format!("cannot read the engine's time {told}"))?;
    Ok((told - told.clamp(asked, answered)).as_seconds_f64())
}

fn unreachable(error: &str) -> String {
    let error = error.trim();
    let remedy = if error.contains("permission denied") {
        "add yourself to the group docker (`sudo usermod -aG docker $USER`), and log in again"
    } else {
        "start it: `sudo systemctl start docker`, or Docker Desktop"
    };
    format!("the Docker engine does not answer: {remedy}\n  {error}")
}

/// `2.26.1-4` or `v5.0.2`: major and minor.
pub(super) fn version(text: &str) -> Option<(u32, u32)> {
    patch_version(text).map(|(major, minor, _)| (major, minor))
}

/// The same with the number of the patch, 0 without one.
pub(super) fn patch_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut numbers = text.trim_start_matches('v').split(['.', '-', '+']).map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, is_new) in
            [("2.26.1-4", true), ("v5.0.2", true), ("2.9.0", false), ("1.29.2", false), ("dev", false)]
        {
            assert_eq!(self::version(version).is_some_and(|found| found >= MIN_COMPOSE), is_new, "{version}");
        }
    }

    #[test]
    fn a_clock_is_wrong_only_beyond_the_question_time() {
        let [asked, answered] = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"]
            .map(|time| OffsetDateTime::parse(time, &Rfc3339).unwrap());
        for (told, expected) in [
            ("2026-01-01T00:00:03.5Z", 0.0),
            ("2026-01-01T01:00:04.5+01:00", 0.0),
            ("2025-12-31T23:58:30Z", -90.0),
            ("2026-01-01T00:00:35Z", 30.0),
        ] {
            assert_eq!(ahead(told, asked, answered).unwrap(), expected, "{told}");
        }
        assert!(ahead("yesterday", asked, answered).is_err());
    }

    #[test]
    fn an_unreachable_engine_comes_with_a_remedy() {
        assert!(unreachable("permission denied while trying to connect").contains("usermod -aG docker"));
        assert!(unreachable("Cannot connect to the Docker daemon").contains("systemctl start docker"));
    }
}
