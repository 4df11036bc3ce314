//! The clients of the stack that runs.

use anyhow::{Result, bail};

use super::{
    places::Places,
    running::{in_docker, running},
    table::Stack,
};
use crate::{
    backends::{Inbox, Logs, Metrics, Traces, grafana::Grafana, services::Services},
    settings::Options,
};

/// The clients of one stack.
pub struct Backends {
    /// The stack.
    pub stack: Stack,
    /// The URL of the gateway.
    pub gateway: String,
    /// The store of spans.
    pub traces: Box<dyn Traces>,
    /// The store of log lines.
    pub logs: Box<dyn Logs>,
    /// The store of metrics.
    pub metrics: Box<dyn Metrics>,
    /// The services themselves.
    pub services: Services,
    /// The store of e-mails.
    pub inbox: Box<dyn Inbox>,
    /// Grafana, where the stack has one.
    pub grafana: Option<Grafana>,
}

impl Backends {
    /// The clients of this stack, or of the only one that runs.
    ///
    /// # Errors
    /// When the stack does not run, or several do and none is named.
    pub async fn find(options: &Options, wanted: Option<Stack>) -> Result<Self> {
        let places = Places::open(options)?;
        let running = match wanted {
            Some(stack) if stack != Stack::Local => in_docker(options, &places).await?,
            _ => running(options, &places).await?,
        };
        let running: Vec<Stack> =
            running.into_iter().filter(|stack| wanted.is_none_or(|wanted| wanted == *stack)).collect();
        match (running.as_slice(), wanted) {
            ([only], _) => Self::of(*only, &places),
            ([], Some(stack)) => bail!("the {stack} stack does not run: `{}` starts it", stack.facts().start),
            ([], None) => bail!("no stack runs: `make up` starts one"),
            (several, _) => {
                let flags: Vec<String> = several.iter().map(|stack| format!("--stack {stack}")).collect();
                bail!("several stacks run; choose one with {}", flags.join(" or "))
            }
        }
    }

    /// The clients of the stack that runs; of ELK beside another one, those of the other, which has metrics and alerts.
    ///
    /// # Errors
    /// When no stack runs.
    pub(crate) async fn first(options: &Options) -> Result<Self> {
        let places = Places::open(options)?;
        let Some(stack) = running(options, &places).await?.into_iter().next() else {
            bail!("no stack runs: `make up` starts one");
        };
        Self::of(stack, &places)
    }

    fn of(stack: Stack, places: &Places) -> Result<Self> {
        let facts = stack.facts();
        let grafana = |place| Grafana::new(places.url(place)?, places.secret("GRAFANA_PASSWORD")?);
        Ok(Self {
            stack,
            gateway: places.local.gateway_url(),
            traces: (facts.traces)(places)?,
            logs: (facts.logs)(places)?,
            metrics: (facts.metrics)(places)?,
            services: Services::new(places.client(), places.services()),
            inbox: (facts.inbox)(places)?,
            grafana: facts.grafana.map(grafana).transpose()?,
        })
    }
}
