//! The stack that a drill runs on, with the means to break and repair it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::task::block_in_place;

use super::{
    catalogue::{Part, Service, Trouble},
    notices::Notice,
};
use crate::{
    address::{link, url},
    backends::prometheus::Prometheus,
    compose::{engine::Engine, plan},
    http,
    local::{layout::Component, pace::Pace},
    progress::Progress,
    settings::Options,
    stack::{Places, Stack, running},
};

/// The time in which a part that is started again must become ready.
const MAX_START: Duration = Duration::from_secs(60);

/// The stack that runs.
pub(super) struct Scene {
    places: Places,
    stack: Stack,
    /// The engine, for a Docker stack.
    engine: Option<Engine>,
}

impl Scene {
    /// The stack that runs; of ELK beside another one, the other: it delivers alerts.
    pub(super) async fn open(options: &Options) -> Result<Self> {
        let places = Places::open(options)?;
        let running = running(options, &places).await?;
        let stack = running
            .into_iter()
            .next()
            .context("cannot break anything: no stack runs; run `make up` first")?;
        let engine = match stack {
            Stack::Local => None,
            _ => Some(Engine::find(&plan::root(&options.dir)?, &options.settings()?).await?),
        };
        Ok(Self { places, stack, engine })
    }

    /// Refuses a stack that delivers no alerts.
    pub(super) async fn expect_alerts(&self) -> Result<()> {
        ensure!(
            self.stack.facts().delivers_alerts,
            "cannot drill {}: it has no Alertmanager; others do: `make up`, `make up-classic`, `make up-lgtm`",
            self.stack.facts().title
        );
        ensure!(
            self.stack != Stack::Local || self.places.local.layout().watch.is_some(),
            "cannot drill the local stack: Prometheus or Alertmanager is missing; \
             run `stacks/local/install prometheus prometheus-alertmanager && make down && make up`"
        );
        self.notices().await.map(drop)
    }

    pub(super) fn stack(&self) -> Stack {
        self.stack
    }

    /// The web pages and commands of the local stack, one in each line; Docker stacks show theirs at the start.
    pub(super) fn pages(&self) -> String {
        if self.stack != Stack::Local {
            return String::new();
        }
        let layout = self.places.local.layout();
        let alerts = layout.watch.map(|watch| link(watch.prometheus) + "/alerts");
        let traces = layout.traces.map(|traces| link(traces.ui));
        let commands = "make status · make logs · make trace · make order".to_owned();
        let pages = [alerts, traces, Some(commands)].into_iter().flatten();
        pages.map(|page| format!("  {page}\n")).collect()
    }

    /// The answer of the local Prometheus to a query, one line for each series.
    pub(super) async fn ask_prometheus(&self, query: &str) -> Result<Vec<String>> {
        let watch = self.places.local.layout().watch.filter(|_| self.stack == Stack::Local);
        let Some(watch) = watch else { return Ok(Vec::new()) };
        let prometheus = Prometheus::new(self.places.client.clone(), url(watch.prometheus));
        let series = prometheus.series(query.to_owned()).await?;
        Ok(series.into_iter().map(|(labels, value)| format!("{labels} {value}")).collect())
    }

    /// The URL of the gateway.
    pub(super) fn gateway(&self) -> String {
        self.places.local.gateway_url()
    }

    /// Has the local stack evaluate at another pace. Docker stacks keep theirs.
    pub(super) async fn set_pace(&self, pace: Pace) -> Result<()> {
        let can_change = self.fastest() == Pace::Fast && self.places.local.layout().watch.is_some();
        if can_change { self.places.local.set_pace(pace).await } else { Ok(()) }
    }

    /// The fastest pace that is possible.
    pub(super) fn fastest(&self) -> Pace {
        if self.stack == Stack::Local { Pace::Fast } else { Pace::Shipped }
    }

    /// Refuses a part that this stack does not have.
    pub(super) fn expect(&self, part: Part) -> Result<()> {
        let is_present = self.stack != Stack::Local
            || self.places.local.layout().components().any(|component| component == component_of(part));
        ensure!(
            is_present,
            "cannot stop the trace backend: OTEL_EXPORTER_OTLP_ENDPOINT names another than the stack's own"
        );
        Ok(())
    }

    /// The gateway's alert log, the newest notice first.
    pub(super) async fn notices(&self) -> Result<Vec<Notice>> {
        let url = self.gateway() + "/alerts";
        let answer = self.ask("ALERTS_TOKEN", self.places.client.get(&url), &url).await?;
        serde_json::from_value(answer).context("cannot read the gateway's alert log")
    }

    /// Switches a simulation on, or with `{}` off.
    async fn simulate(&self, service: Service, simulation: &str) -> Result<()> {
        let (url, token) = match service {
            Service::Payment => (self.places.local.payment_url(), "PAYMENT_TOKEN"),
            Service::Mailer => (self.places.local.mailer_url(), "MAILER_TOKEN"),
        };
        let request = self.places.client.request(Method::PUT, url.clone() + "/simulation");
        let request = request.header("content-type", "application/json").body(simulation.to_owned());
        self.ask(token, request, &url).await.map(drop)
    }

    /// Causes trouble.
    pub(super) async fn cause(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Simulated(service, simulation) => self.simulate(service, simulation).await,
            Trouble::Stopped(part) => self.stop(part).await,
        }
    }

    /// Ends trouble, if it has not ended before.
    pub(super) async fn repair(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::Simulated(service, _) => self.simulate(service, "{}").await,
            Trouble::Stopped(part) => self.start(part).await,
        }
    }

    async fn stop(&mut self, part: Part) -> Result<()> {
        match &self.engine {
            None => block_in_place(|| self.places.local.stop(component_of(part))).map(drop),
            Some(engine) => engine.control(&["stop", self.container_of(part)]).await,
        }
    }

    /// Starts a part, unless it runs, and waits until it is ready.
    async fn start(&mut self, part: Part) -> Result<()> {
        match &self.engine {
            None => {
                let started = self.places.local.start(component_of(part), &mut Progress::silent()).await;
                // The part outlives this command, like the rest of the stack.
                self.places.local.leave_running();
                started
            }
            Some(engine) => {
                engine.control(&["start", self.container_of(part)]).await?;
                self.until_ready(part).await
            }
        }
    }

    fn container_of(&self, part: Part) -> &'static str {
        match part {
            Part::Mailer => "mailer",
            Part::Traces => self.stack.facts().traces_service,
        }
    }

    async fn until_ready(&self, part: Part) -> Result<()> {
        // The trace backends have no common readiness probe.
        let Part::Mailer = part else { return Ok(()) };
        let (url, deadline) = (self.places.local.mailer_url() + "/readyz", Instant::now() + MAX_START);
        while let Err(reason) = http::probe(&self.places.client, &url).await {
            ensure!(
                Instant::now() < deadline,
                "cannot start the mailer: not ready after {} s: {reason}",
                MAX_START.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn ask(&self, token: &str, request: RequestBuilder, url: &str) -> Result<Value> {
        let answer = match request.bearer_auth(self.places.secret(token)?).send().await {
            Err(error) => bail!("cannot ask {url}: it {}", http::brief(&error)),
            Ok(answer) => answer,
        };
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        ensure!(
            status.is_success(),
            "cannot ask {url}: it answered {status}: {}",
            http::plain(&body["detail"])
        );
        Ok(body)
    }
}

fn component_of(part: Part) -> Component {
    match part {
        Part::Mailer => Component::Mailer,
        Part::Traces => Component::Traces,
    }
}
