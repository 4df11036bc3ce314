//! Where a drill takes place: the stack that runs, local or in Docker, with its switches in reach.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::task::block_in_place;

use super::{catalogue::Trouble, docker, notices::Notice};
use crate::{
    backends::{prometheus::Prometheus, stack::Kind},
    compose::PROJECT,
    http,
    local::{
        Options, Stack,
        layout::{Component, link, url},
        pace::Pace,
    },
    progress::Progress,
};

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
    kind: Kind,
    client: Client,
}

impl Scene {
    /// The stack that runs.
    pub(super) fn open(options: &Options) -> Result<Self> {
        let stack = Stack::open(options)?;
        let is_local = stack.process(Component::Gateway).is_some();
        let kind = if is_local { Some(Kind::Local) } else { docker::running(project(&stack)) };
        let kind = kind.context("nothing runs that could be broken: `make up` first")?;
        Ok(Self { stack, kind, client: http::client()? })
    }

    /// Refuses a stack that raises no alerts, or delivers none where they can be seen.
    pub(super) async fn expect_alerts(&self) -> Result<()> {
        ensure!(
            self.kind != Kind::Elk,
            "the stack that runs has no Alertmanager; others do: `make up`, `make up-classic`, `make up-lgtm`"
        );
        ensure!(
            self.kind != Kind::Local || self.has_watch(),
            "this stack runs without Prometheus and Alertmanager; to have them, \
             `stacks/local/install prometheus prometheus-alertmanager && make down && make up`"
        );
        self.notices().await.map(drop)
    }

    fn has_watch(&self) -> bool {
        self.stack.layout().watch.is_some()
    }

    /// What it is observed with.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the local stack can be looked at, one place in each line; those in Docker have pages of their own.
    pub(super) fn places(&self) -> String {
        if self.kind != Kind::Local {
            return String::new();
        }
        let layout = self.stack.layout();
        let alerts = layout.watch.map(|watch| link(watch.prometheus) + "/alerts");
        let traces = layout.traces.map(|traces| link(traces.ui));
        let commands = "make status · make logs · make trace · make order".to_owned();
        let places = [alerts, traces, Some(commands)].into_iter().flatten();
        places.map(|place| format!("  {place}\n")).collect()
    }

    /// What the local Prometheus answers to a query now, one line for each series.
    pub(super) async fn ask_prometheus(&self, query: &str) -> Result<Vec<String>> {
        let watch = self.stack.layout().watch.filter(|_| self.kind == Kind::Local);
        let Some(watch) = watch else { return Ok(Vec::new()) };
        let prometheus = Prometheus::new(self.client.clone(), url(watch.prometheus));
        let series = prometheus.series(query.to_owned()).await?;
        Ok(series.into_iter().map(|(labels, value)| format!("{labels} {value}")).collect())
    }

    /// The gateway, for orders.
    pub(super) fn gateway(&self) -> String {
        self.stack.gateway_url()
    }

    /// Has the local stack judge at another pace. Docker's stacks keep theirs.
    pub(super) async fn set_pace(&self, pace: Pace) -> Result<()> {
        let is_ours = self.kind == Kind::Local && self.has_watch();
        if is_ours { self.stack.set_pace(pace).await } else { Ok(()) }
    }

    /// The pace that is possible.
    pub(super) fn fastest(&self) -> Pace {
        if self.kind == Kind::Local { Pace::Fast } else { Pace::Shipped }
    }

    /// Refuses a part that this stack does not have.
    pub(super) fn expect(&self, part: Part) -> Result<()> {
        let is_here = self.kind != Kind::Local
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
        match self.kind {
            Kind::Local => block_in_place(|| self.stack.stop(part.component())).map(drop),
            kind => docker::compose(project(&self.stack), &["stop", docker::container(kind, part)]),
        }
    }

    /// Starts a part, if it does not run, and waits until it is ready.
    async fn start(&mut self, part: Part) -> Result<()> {
        match self.kind {
            Kind::Local => {
                let started = self.stack.start(part.component(), &mut Progress::silent()).await;
                // It outlives this command, like the rest of the stack.
                self.stack.leave_running();
                started
            }
            kind => {
                docker::compose(project(&self.stack), &["start", docker::container(kind, part)])?;
                self.until_ready(part).await
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

fn project(stack: &Stack) -> &str {
    stack.setting("COMPOSE_PROJECT_NAME").unwrap_or(PROJECT)
}

impl Part {
    fn component(self) -> Component {
        match self {
            Self::Mailer => Component::Mailer,
            Self::Traces => Component::Traces,
        }
    }
}
