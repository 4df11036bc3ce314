//! Where a drill takes place: the stack that runs, local or in Docker, with its switches in reach.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method, RequestBuilder};
use serde::Deserialize;
use serde_json::Value;
use tokio::task::block_in_place;

use super::{catalogue::Trouble, notices::Notice};
use crate::{
    http,
    local::{Options, Stack, layout::Component, pace::Pace},
    progress::Progress,
};

/// The name that the Docker stacks share.
const PROJECT: &str = "omnitrace";
/// How long a part that is started again may take to become ready.
const START: Duration = Duration::from_secs(60);

/// A service with a `/simulation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Payment,
    Mailer,
}

/// What can be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Mailer,
    Traces,
}

/// The stack that runs.
pub(super) struct Scene {
    stack: Stack,
    /// The container of each part, where the stack runs in Docker.
    containers: Option<Containers>,
    client: Client,
}

#[derive(Clone, Copy)]
struct Containers {
    traces: &'static str,
}

impl Scene {
    /// The stack that runs and raises alerts.
    pub(super) async fn open(options: &Options) -> Result<Self> {
        let stack = Stack::open(options)?;
        let client = http::client()?;
        let is_local = stack.process(Component::Gateway).is_some();
        let containers = if is_local { None } else { Containers::find()? };
        let scene = Self { stack, containers, client };
        ensure!(
            is_local || containers.is_some(),
            "nothing runs that alerts could be raised about: `make up`, `make up-classic` or `make up-lgtm` first"
        );
        ensure!(
            !is_local || scene.stack.layout().watch.is_some(),
            "this stack runs without Prometheus and Alertmanager; to have them, \
             `stacks/local/install prometheus prometheus-alertmanager && make down && make up`"
        );
        scene.notices().await?;
        Ok(scene)
    }

    /// The gateway, for orders.
    pub(super) fn gateway(&self) -> String {
        self.stack.gateway_url()
    }

    /// Has the local stack judge at another pace. Docker's stacks keep theirs.
    pub(super) async fn set_pace(&self, pace: Pace) -> Result<()> {
        if self.containers.is_some() { Ok(()) } else { self.stack.set_pace(pace).await }
    }

    /// The pace that is possible.
    pub(super) fn fastest(&self) -> Pace {
        if self.containers.is_some() { Pace::Shipped } else { Pace::Fast }
    }

    /// Refuses a part that this stack does not have.
    pub(super) fn expect(&self, part: Part) -> Result<()> {
        let is_here = self.containers.is_some()
            || self.stack.layout().components().any(|component| component == part.component());
        ensure!(
            is_here,
            "the traces go where OTEL_EXPORTER_OTLP_ENDPOINT says: that backend can't be stopped from here"
        );
        Ok(())
    }

    /// What the gateway's alert log holds, the newest first.
    pub(super) async fn notices(&self) -> Result<Vec<Notice>> {
        let url = self.gateway() + "/alerts";
        let answer = self.ask("ALERTS_TOKEN", self.client.get(url), "the gateway's alert log").await?;
        serde_json::from_value(answer).context("the alert log is not the documented one")
    }

    /// Switches simulated trouble on, or with `{}` off.
    async fn simulate(&self, service: Service, simulation: &str) -> Result<()> {
        let (url, token) = match service {
            Service::Payment => (self.stack.payment_url(), "PAYMENT_TOKEN"),
            Service::Mailer => (self.stack.mailer_url(), "MAILER_TOKEN"),
        };
        let request = self.client.request(Method::PUT, url.clone() + "/simulation");
        let request = request.header("content-type", "application/json").body(simulation.to_owned());
        self.ask(token, request, &url).await.map(drop)
    }

    /// Brings trouble about.
    pub(super) async fn cause(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Simulated(service, simulation) => self.simulate(service, simulation).await,
            Trouble::Stopped(part) => self.stop(part),
        }
    }

    /// Ends it; harmless when it has ended already.
    pub(super) async fn mend(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Simulated(service, _) => self.simulate(service, "{}").await,
            Trouble::Stopped(part) => self.start(part).await,
        }
    }

    /// Stops a part as an operator does.
    fn stop(&mut self, part: Part) -> Result<()> {
        match self.containers {
            Some(containers) => docker(&["stop", containers.name(part)]),
            None => block_in_place(|| self.stack.stop(part.component())).map(drop),
        }
    }

    /// Starts a part, if it does not run, and waits until it is ready.
    async fn start(&mut self, part: Part) -> Result<()> {
        match self.containers {
            Some(containers) => {
                docker(&["start", containers.name(part)])?;
                self.until_ready(part).await
            }
            None => {
                let started = self.stack.start(part.component(), &mut Progress::silent()).await;
                // It outlives this command, like the rest of the stack.
                self.stack.leave_running();
                started
            }
        }
    }

    async fn until_ready(&self, part: Part) -> Result<()> {
        // Only the mailer's readiness can be asked for in every stack.
        let Part::Mailer = part else { return Ok(()) };
        let (url, deadline) = (self.stack.mailer_url() + "/readyz", Instant::now() + START);
        while let Err(reason) = http::probe(&self.client, &url).await {
            ensure!(
                Instant::now() < deadline,
                "the mailer is not ready after {} s: {reason}",
                START.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn ask(&self, token: &str, request: RequestBuilder, whom: &str) -> Result<Value> {
        let secret = self
            .stack
            .setting(token)
            .with_context(|| format!("there is no {token} in .env; `make up` writes one"))?;
        let answer = match request.bearer_auth(secret).send().await {
            Err(error) => bail!("{whom} {}", http::brief(&error)),
            Ok(answer) => answer,
        };
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        ensure!(status.is_success(), "{whom} answered {status}: {}", http::plain(&body["detail"]));
        Ok(body)
    }
}

impl Part {
    fn component(self) -> Component {
        match self {
            Self::Mailer => Component::Mailer,
            Self::Traces => Component::Traces,
        }
    }
}

impl Containers {
    /// Those of the Docker stack that runs and has an Alertmanager; `None` where there is none.
    fn find() -> Result<Option<Self>> {
        let output = Command::new("docker")
            .args(["compose", "--project-name", PROJECT, "ps", "--format", "json"])
            .stderr(Stdio::null())
            .output();
        // No Docker, no stack in Docker.
        let Ok(output) = output else { return Ok(None) };
        let services: Vec<String> = services(&String::from_utf8_lossy(&output.stdout));
        let runs = |name: &str| services.iter().any(|service| service == name);
        ensure!(
            services.is_empty() || runs("alertmanager"),
            "the stack that runs has no Alertmanager; Classic and LGTM do: `make up-classic` or `make up-lgtm`"
        );
        let traces = ["jaeger", "tempo"].into_iter().find(|name| runs(name));
        Ok(traces.map(|traces| Self { traces }))
    }

    fn name(self, part: Part) -> &'static str {
        match part {
            Part::Mailer => "mailer",
            Part::Traces => self.traces,
        }
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

fn docker(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("docker");
    command.args(["compose", "--project-name", PROJECT]).args(arguments);
    let output = block_in_place(|| command.output()).context("cannot run docker")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`docker compose {}` failed: {}", arguments.join(" "), said.trim());
    Ok(())
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
