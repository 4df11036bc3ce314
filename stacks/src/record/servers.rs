//! The servers of a stack that are recorded, and how each tells its version.

use anyhow::{Context as _, Result};
use reqwest::Client;
use serde_json::Value;

use crate::{
    backends::{asker::Asker, questions::Api},
    compose::plan::{self, Plan},
    settings::Options,
    stack::{Places, Stack},
};

/// A server to ask.
pub(super) struct Target {
    /// The name of its recordings.
    pub(super) name: &'static str,
    pub(super) api: Api,
    pub(super) asker: Asker,
    client: Client,
    origin: Origin,
}

/// Where a version is read.
enum Origin {
    /// The server's own answer: URL, and the place in its JSON.
    Server(String, &'static str),
    /// The tag of its image, for a server that does not tell.
    Image(String),
}

/// How the servers tell their version.
const VERSIONS: [(&str, &str, &str); 7] = [
    ("elasticsearch", "/", "/version/number"),
    ("grafana", "/api/health", "/version"),
    ("loki", "/loki/api/v1/status/buildinfo", "/version"),
    ("mailpit", "/api/v1/info", "/Version"),
    ("mimir", "/api/v1/status/buildinfo", "/data/version"),
    ("prometheus", "/api/v1/status/buildinfo", "/data/version"),
    ("tempo", "/api/status/buildinfo", "/version"),
];

impl Target {
    /// The version, such as `3.7.6`.
    pub(super) async fn version(&self) -> Result<String> {
        let version = match &self.origin {
            Origin::Image(tag) => tag.clone(),
            Origin::Server(url, place) => {
                let unknown = || format!("cannot read the version of {} at {url}", self.name);
                let answer = self.client.get(url).send().await.with_context(unknown)?;
                let answer: Value = answer.json().await.with_context(unknown)?;
                answer.pointer(place).and_then(Value::as_str).with_context(unknown)?.to_owned()
            }
        };
        Ok(version.trim_start_matches('v').to_owned())
    }
}

/// The servers of a stack that clients ask, without the services.
pub(super) fn targets(stack: Stack, places: &Places, options: &Options) -> Result<Vec<Target>> {
    let facts = stack.facts();
    let plan = stack.compose_file(&plan::root(&options.dir)?).map(|_| plan_of(stack, options)).transpose()?;
    let target = |name: &'static str, url: String| -> Result<Target> {
        let (api, below) = match name {
            "elasticsearch" => (Api::Elasticsearch, ""),
            "grafana" => (Api::Grafana, ""),
            "jaeger" => (Api::Jaeger, ""),
            "jaeger-embedded" => (Api::EmbeddedJaeger, ""),
            "loki" => (Api::Loki, ""),
            "mailpit" => (Api::Mailpit, ""),
            "mimir" => (Api::Prometheus, "/prometheus"),
            "tempo" => (Api::Tempo, ""),
            _ => (Api::Prometheus, ""),
        };
        let asker = Asker::new(places.client.clone(), url.clone() + below);
        let asker = match name {
            "elasticsearch" => asker.with_login("elastic", places.secret("ELASTIC_PASSWORD")?),
            "grafana" => asker.with_login("admin", places.secret("GRAFANA_PASSWORD")?),
            _ => asker,
        };
        let told = VERSIONS.iter().find(|(server, ..)| *server == name);
        let origin = match told {
            Some((_, path, place)) => Origin::Server(url + path, place),
            None => Origin::Image(plan.as_ref().and_then(|plan| tag(plan, name)).unwrap_or_default()),
        };
        Ok(Target { name, api, asker, client: places.client.clone(), origin })
    };
    let mut targets = Vec::new();
    for (name, place) in facts.servers {
        targets.push(target(name, places.url(*place)?)?);
    }
    if let Some(place) = facts.grafana {
        targets.push(target("grafana", places.url(place)?)?);
    }
    if stack == Stack::Local {
        let traces = places.local.jaeger_url().map(|url| ("jaeger-embedded", url));
        let metrics = places.local.prometheus_url().map(|url| ("prometheus", url));
        for (name, url) in traces.into_iter().chain(metrics) {
            targets.push(target(name, url)?);
        }
    }
    Ok(targets)
}

fn plan_of(stack: Stack, options: &Options) -> Result<Plan> {
    let mut settings = plan::placeholders();
    settings.extend(options.settings()?);
    Plan::new(&plan::root(&options.dir)?, &[stack].into(), &settings)
}

/// The tag of a service's image.
fn tag(plan: &Plan, service: &str) -> Option<String> {
    let image = plan.project.services.get(service)?.image.split('@').next()?;
    image.rsplit_once(':').map(|(_, tag)| tag.to_owned())
}
