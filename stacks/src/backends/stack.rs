//! Which stacks there are, and what each of them keeps its evidence in.

use std::{fmt, net::Ipv4Addr};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Client;

use super::{
    Inbox, Logs, Metrics, Traces,
    elasticsearch::Elasticsearch,
    grafana::Grafana,
    jaeger::Jaeger,
    local::{LogFiles, MailFiles},
    loki::Loki,
    mailpit::Mailpit,
    prometheus::Prometheus,
    services::Services,
    tempo::Tempo,
};
use crate::{
    http,
    local::{
        Options, Stack,
        layout::{Component, url},
        ports,
    },
    logs::SERVICES,
};

/// What the services can be observed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// No Docker: files, and a trace backend of our own.
    Local,
    /// Prometheus, Loki, Jaeger.
    Classic,
    /// Elasticsearch, with what its agents bring.
    Elk,
    /// Loki, Tempo, Mimir.
    Lgtm,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Local, Self::Classic, Self::Elk, Self::Lgtm];

    /// The command that starts it.
    fn start(self) -> String {
        if self == Self::Local { "`make up` starts it".into() } else { format!("`make up-{self}` starts it") }
    }

    /// Whether it runs: what only this stack has gives an answer, be it that a password is wanted.
    async fn runs(self, stack: &Stack, client: &Client) -> bool {
        let answers = async |place| match url_of(stack, place) {
            Ok(url) => client.get(url).send().await.is_ok(),
            Err(_) => false,
        };
        match self {
            Self::Local => stack.process(Component::Gateway).is_some(),
            Self::Classic => answers(LOKI).await && !answers(TEMPO).await,
            Self::Elk => answers(ELASTICSEARCH).await,
            Self::Lgtm => answers(TEMPO).await,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Local => "local",
            Self::Classic => "classic",
            Self::Elk => "elk",
            Self::Lgtm => "lgtm",
        })
    }
}

/// The setting that moves something, and the port on this machine where it is otherwise.
type Place = (&'static str, u16);

const GATEWAY: Place = ("GATEWAY_LISTEN", 3000);
const PAYMENT: Place = ("PAYMENT_LISTEN", 3001);
const MAILER: Place = ("MAILER_LISTEN", 3002);
const MAILPIT: Place = ("MAILPIT_LISTEN", 8025);
const JAEGER: Place = ("JAEGER_LISTEN", 16686);
const LOKI: Place = ("LOKI_LISTEN", 3100);
const PROMETHEUS: Place = ("PROMETHEUS_LISTEN", 9090);
const TEMPO: Place = ("TEMPO_LISTEN", 3200);
const MIMIR: Place = ("MIMIR_LISTEN", 9009);
const ELASTICSEARCH: Place = ("ELASTICSEARCH_LISTEN", 9200);
const GRAFANA: &str = "GRAFANA_LISTEN";

/// What one stack keeps its evidence in.
pub struct Backends {
    /// Which stack it is.
    pub kind: Kind,
    /// Where orders are placed.
    pub gateway: String,
    /// Where spans go.
    pub traces: Box<dyn Traces>,
    /// Where log lines go.
    pub logs: Box<dyn Logs>,
    /// Where metrics are read.
    pub metrics: Box<dyn Metrics>,
    /// Where e-mails go.
    pub inbox: Box<dyn Inbox>,
    /// What shows all of it, if it does so in one place.
    pub grafana: Option<Grafana>,
}

impl Backends {
    /// The backends of this stack, or of the one that runs.
    pub async fn find(options: &Options, wanted: Option<Kind>) -> Result<Self> {
        let stack = Stack::open(options)?;
        let client = http::client()?;
        let kind = match wanted {
            Some(kind) => {
                ensure!(kind.runs(&stack, &client).await, "the {kind} stack does not run: {}", kind.start());
                kind
            }
            None => only_one(&stack, &client).await?,
        };
        let known = Known { stack: &stack, client };
        match kind {
            Kind::Local => known.local(),
            Kind::Classic => known.classic(),
            Kind::Elk => known.elk(),
            Kind::Lgtm => known.lgtm(),
        }
    }
}

/// What is known of a stack from its settings.
struct Known<'a> {
    stack: &'a Stack,
    client: Client,
}

impl Known<'_> {
    fn local(self) -> Result<Backends> {
        let jaeger = self.stack.jaeger_url().context(
            "the spans go where OTEL_EXPORTER_OTLP_ENDPOINT says: only a trace backend of the stack's own can be asked",
        )?;
        let Self { stack, client } = &self;
        Ok(Backends {
            kind: Kind::Local,
            gateway: stack.gateway_url(),
            traces: Box::new(Jaeger::new(client.clone(), jaeger)),
            logs: Box::new(LogFiles::from_end(&stack.log_dir())?),
            metrics: match stack.prometheus_url() {
                Some(url) => Box::new(Prometheus::new(client.clone(), url)),
                None => self.services([stack.gateway_url(), stack.payment_url(), stack.mailer_url()]),
            },
            inbox: match stack.mail_dir() {
                Some(dir) => Box::new(MailFiles::new(dir)),
                None => self.mailpit()?,
            },
            grafana: None,
        })
    }

    fn classic(self) -> Result<Backends> {
        let client = || self.client.clone();
        Ok(Backends {
            kind: Kind::Classic,
            gateway: self.url(GATEWAY)?,
            traces: Box::new(Jaeger::new(client(), self.url(JAEGER)?)),
            logs: Box::new(Loki::new(client(), self.url(LOKI)?)),
            metrics: Box::new(Prometheus::new(client(), self.url(PROMETHEUS)?)),
            inbox: self.mailpit()?,
            grafana: Some(self.grafana(4000)?),
        })
    }

    fn lgtm(self) -> Result<Backends> {
        let client = || self.client.clone();
        Ok(Backends {
            kind: Kind::Lgtm,
            gateway: self.url(GATEWAY)?,
            traces: Box::new(Tempo::new(client(), self.url(TEMPO)?)),
            logs: Box::new(Loki::new(client(), self.url(LOKI)?)),
            metrics: Box::new(Prometheus::new(client(), self.url(MIMIR)? + "/prometheus")),
            inbox: self.mailpit()?,
            grafana: Some(self.grafana(5000)?),
        })
    }

    fn elk(self) -> Result<Backends> {
        let password = self.secret("ELASTIC_PASSWORD")?;
        let url = self.url(ELASTICSEARCH)?;
        let elasticsearch = Elasticsearch::new(self.client.clone(), url, "elastic", password);
        Ok(Backends {
            kind: Kind::Elk,
            gateway: self.url(GATEWAY)?,
            traces: Box::new(elasticsearch.clone()),
            logs: Box::new(elasticsearch),
            // Nothing of this stack scrapes them.
            metrics: self.services([self.url(GATEWAY)?, self.url(PAYMENT)?, self.url(MAILER)?]),
            inbox: self.mailpit()?,
            grafana: None,
        })
    }

    /// The services' own metrics; the addresses are in the order of [`SERVICES`].
    fn services(&self, urls: [String; 3]) -> Box<Services> {
        Box::new(Services::new(self.client.clone(), SERVICES.into_iter().zip(urls)))
    }

    fn mailpit(&self) -> Result<Box<Mailpit>> {
        Ok(Box::new(Mailpit::new(self.client.clone(), self.url(MAILPIT)?)))
    }

    fn grafana(&self, port: u16) -> Result<Grafana> {
        Grafana::new(self.url((GRAFANA, port))?, self.secret("GRAFANA_PASSWORD")?)
    }

    fn secret(&self, name: &str) -> Result<&str> {
        let secret = self.stack.setting(name);
        secret.with_context(|| format!("{name} is neither in .env nor in the environment"))
    }

    fn url(&self, place: Place) -> Result<String> {
        url_of(self.stack, place)
    }
}

fn url_of(stack: &Stack, (setting, port): Place) -> Result<String> {
    let address = stack.setting(setting).map(|value| ports::parse(setting, value)).transpose()?;
    Ok(url(address.unwrap_or((Ipv4Addr::LOCALHOST, port).into())))
}

async fn only_one(stack: &Stack, client: &Client) -> Result<Kind> {
    let mut running = Vec::new();
    for kind in Kind::ALL {
        if kind.runs(stack, client).await {
            running.push(kind);
        }
    }
    match running.as_slice() {
        [only] => Ok(*only),
        [] => bail!("no stack runs: `make up` starts one"),
        several => {
            let flags: Vec<String> = several.iter().map(|kind| format!("--stack {kind}")).collect();
            bail!("several stacks run; say which one is meant: {}", flags.join(" or "))
        }
    }
}
