//! The table of the stacks.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::places::{ELASTICSEARCH, JAEGER, LOKI, MAILPIT, MIMIR, PROMETHEUS, Place, Places, TEMPO};
use crate::backends::{
    Inbox, Logs, Metrics, Traces,
    elasticsearch::Elasticsearch,
    embedded::EmbeddedJaeger,
    files::{LogFiles, MailFiles},
    jaeger::Jaeger,
    loki::Loki,
    mailpit::Mailpit,
    prometheus::Prometheus,
    services::Services,
    tempo::Tempo,
};

/// Makes the client of one server.
type Connect<T> = fn(&Places) -> Result<Box<T>>;

/// A stack that the services can be observed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Stack {
    /// No Docker: log files, and an embedded trace backend
    Local,
    /// Prometheus, Alertmanager, Grafana, Loki, Jaeger
    Classic,
    /// Loki, Grafana, Tempo, Mimir
    Lgtm,
    /// Elasticsearch, Logstash, Kibana, Filebeat, APM Server
    Elk,
}

/// Everything in which the stacks differ.
pub struct Facts {
    /// The stack.
    pub stack: Stack,
    /// The name in commands and folders.
    pub name: &'static str,
    /// The name for people.
    pub title: &'static str,
    /// The command that starts the stack.
    pub start: &'static str,
    /// The command that stops the stack.
    pub stop: &'static str,
    /// The Compose file, from the root of the checkout; none without Docker.
    pub compose_file: Option<&'static str>,
    /// True if the stack can run beside any other Docker stack: they share no port but those of the services.
    pub runs_beside_others: bool,
    /// A server that no other stack has. Where Docker cannot be asked, an answer from it means that the stack runs.
    pub sign: Option<Place>,
    /// The servers in containers that clients ask, Grafana aside, by the name of their service.
    pub servers: &'static [(&'static str, Place)],
    /// The client for traces.
    pub traces: Connect<dyn Traces>,
    /// The Compose service that stores traces.
    pub traces_service: &'static str,
    /// The client for log lines.
    pub logs: Connect<dyn Logs>,
    /// The client for metrics.
    pub metrics: Connect<dyn Metrics>,
    /// The client for e-mails.
    pub inbox: Connect<dyn Inbox>,
    /// Grafana, where the stack has one.
    pub grafana: Option<Place>,
    /// The configuration of Prometheus, from the root of the checkout, where a file of its own configures it.
    pub prometheus_config: Option<&'static str>,
    /// True if an Alertmanager delivers alerts.
    pub delivers_alerts: bool,
    /// The memory maps that its servers ask the kernel for.
    pub memory_maps: Option<u64>,
    /// The languages in which the backends are asked.
    pub languages: &'static [Language],
    /// Where a person finds a trace; none where the gateway's link leads to it.
    pub trace_page: Option<&'static str>,
    /// Where a person finds the log lines of an order.
    pub log_page: &'static str,
}

/// The language of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Prometheus and Mimir.
    PromQl,
    /// Loki.
    LogQl,
    /// Tempo.
    TraceQl,
    /// Kibana.
    Kql,
}

/// In the order of the variants of [`Stack`].
static TABLE: [Facts; 4] = [
    Facts {
        stack: Stack::Local,
        name: "local",
        title: "the local stack",
        start: "make up",
        stop: "make down",
        compose_file: None,
        runs_beside_others: false,
        sign: None,
        servers: &[],
        traces: |at| Ok(Box::new(EmbeddedJaeger::new(at.client(), at.local_jaeger()?))),
        traces_service: "traces",
        logs: |at| Ok(Box::new(LogFiles::from_end(&at.local.log_dir())?)),
        metrics: |at| match at.local.prometheus_url() {
            Some(url) => Ok(Box::new(Prometheus::new(at.client(), url))),
            None => services(at),
        },
        inbox: |at| match at.local.mail_dir() {
            Some(dir) => Ok(Box::new(MailFiles::new(dir))),
            None => mailpit(at),
        },
        grafana: None,
        prometheus_config: None,
        delivers_alerts: true,
        memory_maps: None,
        languages: &[Language::PromQl],
        trace_page: None,
        log_page: "`make logs` shows its log lines",
    },
    Facts {
        stack: Stack::Classic,
        name: "classic",
        title: "Classic",
        start: "make up-classic",
        stop: "make down-classic",
        compose_file: Some("stacks/classic/compose.yaml"),
        runs_beside_others: false,
        sign: Some(JAEGER),
        servers: &[("jaeger", JAEGER), ("loki", LOKI), ("mailpit", MAILPIT), ("prometheus", PROMETHEUS)],
        traces: |at| Ok(Box::new(Jaeger::new(at.client(), at.url(JAEGER)?))),
        traces_service: "jaeger",
        logs: |at| Ok(Box::new(Loki::new(at.client(), at.url(LOKI)?))),
        metrics: |at| Ok(Box::new(Prometheus::new(at.client(), at.url(PROMETHEUS)?))),
        inbox: mailpit,
        grafana: Some(("GRAFANA_LISTEN", 4000)),
        prometheus_config: Some("stacks/prometheus/classic.yaml"),
        delivers_alerts: true,
        memory_maps: None,
        languages: &[Language::PromQl, Language::LogQl],
        trace_page: None,
        log_page: "its log lines, metrics and dashboards are in Grafana",
    },
    Facts {
        stack: Stack::Lgtm,
        name: "lgtm",
        title: "LGTM",
        start: "make up-lgtm",
        stop: "make down-lgtm",
        compose_file: Some("stacks/lgtm/compose.yaml"),
        runs_beside_others: false,
        sign: Some(TEMPO),
        servers: &[("loki", LOKI), ("mailpit", MAILPIT), ("mimir", MIMIR), ("tempo", TEMPO)],
        traces: |at| Ok(Box::new(Tempo::new(at.client(), at.url(TEMPO)?))),
        traces_service: "tempo",
        logs: |at| Ok(Box::new(Loki::new(at.client(), at.url(LOKI)?))),
        metrics: |at| Ok(Box::new(Prometheus::new(at.client(), at.url(MIMIR)? + "/prometheus"))),
        inbox: mailpit,
        grafana: Some(("GRAFANA_LISTEN", 5000)),
        prometheus_config: Some("stacks/prometheus/agent.yaml"),
        delivers_alerts: true,
        memory_maps: None,
        languages: &[Language::PromQl, Language::LogQl, Language::TraceQl],
        // The link is long; the gateway's own page has it.
        trace_page: Some("in Grafana under Explore, data source traces: its traceId"),
        log_page: "its log lines, metrics and dashboards are in Grafana",
    },
    Facts {
        stack: Stack::Elk,
        name: "elk",
        title: "ELK",
        start: "make up-elk",
        stop: "make down-elk",
        compose_file: Some("stacks/elk/compose.yaml"),
        runs_beside_others: true,
        sign: Some(ELASTICSEARCH),
        servers: &[("elasticsearch", ELASTICSEARCH), ("mailpit", MAILPIT)],
        traces: |at| Ok(Box::new(elasticsearch(at)?)),
        traces_service: "apm-server",
        logs: |at| Ok(Box::new(elasticsearch(at)?)),
        metrics: services,
        inbox: mailpit,
        grafana: None,
        prometheus_config: None,
        delivers_alerts: false,
        memory_maps: Some(262_144),
        languages: &[Language::Kql],
        trace_page: None,
        log_page: "its log lines are in Kibana, under Discover",
    },
];

/// The services' own `/metrics`, for a stack in which nothing scrapes them.
fn services(at: &Places) -> Result<Box<dyn Metrics>> {
    Ok(Box::new(Services::new(at.client(), at.services())))
}

fn mailpit(at: &Places) -> Result<Box<dyn Inbox>> {
    Ok(Box::new(Mailpit::new(at.client(), at.url(MAILPIT)?)))
}

fn elasticsearch(at: &Places) -> Result<Elasticsearch> {
    Ok(Elasticsearch::new(at.client(), at.url(ELASTICSEARCH)?, "elastic", at.secret("ELASTIC_PASSWORD")?))
}

impl Stack {
    /// Every stack; where one of several is to be chosen, the first.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|facts| facts.stack)
    }

    /// Every stack that runs in Docker.
    pub fn docker() -> impl Iterator<Item = Self> {
        Self::all().filter(|stack| stack.facts().compose_file.is_some())
    }

    /// The row of the table.
    pub fn facts(self) -> &'static Facts {
        &TABLE[self as usize]
    }

    /// True if both can run at once. The local stack has the ports of the services, which every Docker stack needs.
    pub(crate) fn fits_beside(self, other: Self) -> bool {
        let beside = |one: Self, other: Self| one.facts().runs_beside_others && other != Self::Local;
        self == other || beside(self, other) || beside(other, self)
    }

    /// The Compose file below the root of a checkout; none without Docker.
    pub(crate) fn compose_file(self, root: &Path) -> Option<PathBuf> {
        self.facts().compose_file.map(|file| root.join(file))
    }

    /// Reads the name of a Docker stack on a command line.
    pub fn docker_parser() -> impl TypedValueParser<Value = Self> {
        let names: Vec<&str> = Self::docker().map(|stack| stack.facts().name).collect();
        PossibleValuesParser::new(names).try_map(|name| <Self as clap::ValueEnum>::from_str(&name, false))
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.facts().name)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_stack_has_its_row() {
        assert!(Stack::all().eq(Stack::value_variants().iter().copied()));
        for stack in Stack::all() {
            assert_eq!(stack.facts().stack, stack);
            assert_eq!(Stack::from_str(stack.facts().name, false), Ok(stack));
        }
    }

    #[test]
    fn elk_runs_beside_the_other_docker_stacks() {
        let pairs = Stack::all().flat_map(|one| Stack::all().map(move |other| (one, other)));
        for (one, other) in pairs.filter(|(one, other)| one != other) {
            let expected = [one, other].contains(&Stack::Elk) && ![one, other].contains(&Stack::Local);
            assert_eq!(one.fits_beside(other), expected, "{one} beside {other}");
        }
    }
}
