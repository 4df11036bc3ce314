//! What is to run: one stack, or ELK beside another, as a single Compose project.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{
    Kind,
    files::{Project, with_file},
    service::{Published, Service},
    variables::Variables,
};

/// What every stack includes, and so is no sign of one.
const CHECKOUT: &str = "services/compose.yaml";
/// Where the services send to, beside the Compose file of each stack.
const DESTINATIONS: &str = "destinations.env";

/// The stacks that are to run, with all that follows from that.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root of the checkout.
    pub root: PathBuf,
    /// Which they are.
    pub kinds: BTreeSet<Kind>,
    /// The settings, and where the services send to.
    pub variables: Variables,
    /// All services, with everything in its place.
    pub project: Project,
}

impl Plan {
    /// The plan for these stacks, below the root of a checkout.
    pub fn new(root: &Path, kinds: &BTreeSet<Kind>, settings: &Variables) -> Result<Self> {
        let mut variables = settings.clone();
        variables.extend(destinations(root, kinds, settings)?);
        let mut project = Project::default();
        for kind in kinds {
            let file = kind.file(root);
            ensure!(
                file.exists(),
                "there is no {}: run this in the checkout, or name it with --dir",
                file.display()
            );
            let stack = Project::read(&file, &variables)?;
            project.services.extend(stack.services);
            project.secrets.extend(stack.secrets);
            project.volumes.extend(stack.volumes);
            for include in stack.includes {
                if !project.includes.contains(&include) {
                    project.includes.push(include);
                }
            }
        }
        Ok(Self { root: root.to_owned(), kinds: kinds.clone(), variables, project })
    }

    /// The Compose file of all of it: what the stacks have in common is included once.
    pub fn file(&self, name: &str) -> String {
        json!({ "name": name, "include": self.project.includes }).to_string()
    }

    /// The services in an order in which nobody comes before those that it needs.
    pub fn in_order(&self) -> Vec<(&str, &Service)> {
        let mut ordered: Vec<(&str, &Service)> = Vec::new();
        while ordered.len() < self.project.services.len() {
            let is_there = |name: &str| ordered.iter().any(|(there, _)| *there == name);
            let next = self.project.services.iter().find(|(name, service)| {
                let known = |need: &&str| self.project.services.contains_key(*need);
                !is_there(name) && service.needs().into_iter().filter(known).all(is_there)
            });
            // A circle is an error of its own, which Compose reports.
            let Some((name, service)) = next else { break };
            ordered.push((name, service));
        }
        ordered
    }

    /// The most memory that all of it may take, in bytes.
    pub fn memory(&self) -> Result<u64> {
        let limit = |(name, service): (&String, &Service)| {
            service.memory().with_context(|| format!("service {name}"))
        };
        self.project.services.iter().map(limit).sum()
    }

    /// Every port on this machine that it takes, with the service that it leads to.
    pub fn published(&self) -> Result<Vec<(Published, &str)>> {
        let mut all = Vec::new();
        for (name, service) in &self.project.services {
            let ports = service.published().with_context(|| format!("service {name}"))?;
            all.extend(ports.into_iter().map(|port| (port, name.as_str())));
        }
        Ok(all)
    }

    /// Where this port of a service is on this machine.
    pub fn address(&self, service: &str, port: u16) -> Option<SocketAddr> {
        let published = self.project.services.get(service)?.published().ok()?;
        published.into_iter().find(|published| published.container == port).map(|published| published.host)
    }
}

/// The services that only this stack has: where one of them runs, the stack does.
pub fn signs(root: &Path, kind: Kind) -> Result<BTreeSet<String>> {
    let names = |kind: Kind| -> Result<BTreeSet<String>> {
        let plan = Plan::new(root, &[kind].into(), &placeholders())?;
        Ok(plan.project.services.into_keys().collect())
    };
    let mut own = names(kind)?;
    for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
        own = &own - &names(other)?;
    }
    Ok(own)
}

/// Stands for secrets where files are only looked at.
pub fn placeholders() -> Variables {
    let secrets = crate::local::secrets::names();
    secrets.into_iter().map(|name| (name.to_owned(), "-".to_owned())).collect()
}

/// Where the services send to when these stacks run: spans to all of them, log lines to who takes them over OTLP.
fn destinations(root: &Path, kinds: &BTreeSet<Kind>, settings: &Variables) -> Result<Variables> {
    let mut joined = Variables::new();
    for kind in kinds {
        let file = kind.file(root).with_file_name(DESTINATIONS);
        let own = with_file(&file, settings)?;
        let of = |name: &str| own.get(name).filter(|value| !value.is_empty());
        for name in ["TRACES_TO", "LOGS_TO"] {
            let all = joined.entry(name.to_owned()).or_default();
            if let Some(value) = of(name) {
                let comma = if all.is_empty() { "" } else { "," };
                *all += &format!("{comma}{value}");
            }
        }
        if let Some(page) = of("TRACE_PAGE") {
            joined.entry("TRACE_PAGE".to_owned()).or_insert_with(|| page.clone());
        }
    }
    let logs = joined.get("LOGS_TO").is_some_and(|to| !to.is_empty());
    joined.insert("LOGS_EXPORTER".to_owned(), if logs { "otlp" } else { "none" }.to_owned());
    Ok(joined)
}

/// The root of the checkout: absolute, and with the Compose files below it.
pub fn root(dir: &Path) -> Result<PathBuf> {
    let root = fs::canonicalize(dir).with_context(|| format!("no directory {}", dir.display()))?;
    let checkout = root.join("stacks").join(CHECKOUT);
    ensure!(
        checkout.exists(),
        "there is no {}: run this in the checkout, or name it with --dir",
        checkout.display()
    );
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkout() -> PathBuf {
        root(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap()
    }

    fn plan(kinds: &[Kind]) -> Plan {
        Plan::new(&checkout(), &kinds.iter().copied().collect(), &placeholders()).unwrap()
    }

    #[test]
    fn elk_beside_classic_gets_every_span_too_and_leaves_the_log_lines_to_filebeat() {
        let both = plan(&[Kind::Classic, Kind::Elk]);
        assert_eq!(
            both.variables["TRACES_TO"],
            "http://jaeger:4318/v1/traces,http://apm-server:8200/v1/traces"
        );
        assert_eq!(both.variables["LOGS_TO"], "http://loki:3100/otlp/v1/logs");
        assert_eq!(both.variables["TRACE_PAGE"], "http://localhost:16686/trace/{traceId}");
        let gateway = &both.project.services["gateway"].environment;
        assert_eq!(
            gateway["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].as_str(),
            Some(&*both.variables["TRACES_TO"])
        );

        let alone = plan(&[Kind::Elk]);
        assert_eq!((&*alone.variables["LOGS_EXPORTER"], &*alone.variables["LOGS_TO"]), ("none", ""));
        let file: serde_json::Value = serde_json::from_str(&both.file("x")).unwrap();
        assert_eq!(file["include"].as_array().unwrap().len(), 3, "the checkout once, and two stacks: {file}");
    }

    #[test]
    fn nobody_comes_before_those_that_it_needs() {
        let plan = plan(&[Kind::Lgtm, Kind::Elk]);
        let order: Vec<&str> = plan.in_order().into_iter().map(|(name, _)| name).collect();
        assert_eq!(order.len(), plan.project.services.len());
        let place = |name: &str| order.iter().position(|other| *other == name).unwrap();
        for (one, other) in
            [("rabbitmq", "payment"), ("payment", "gateway"), ("elasticsearch", "kibana-setup")]
        {
            assert!(place(one) < place(other), "{order:?}");
        }
    }

    #[test]
    fn each_stack_has_signs_of_its_own() {
        assert_eq!(signs(&checkout(), Kind::Classic).unwrap(), ["jaeger".to_owned()].into());
        assert_eq!(signs(&checkout(), Kind::Lgtm).unwrap(), ["mimir", "tempo"].map(str::to_owned).into());
        assert!(signs(&checkout(), Kind::Elk).unwrap().contains("elasticsearch"));
    }
}
