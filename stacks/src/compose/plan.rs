//! The Compose project of one stack, or of ELK beside another.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{
    files::{Project, with_file},
    service::{Published, Service},
    variables::Variables,
};
use crate::{secrets, stack::Stack};

/// The services themselves, which every stack includes.
const CHECKOUT: &str = "services/compose.yaml";
/// The file beside each Compose file that says where the services send their telemetry.
const DESTINATIONS: &str = "destinations.env";

/// The project of the stacks that are to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root of the checkout.
    pub root: PathBuf,
    /// The stacks.
    pub stacks: BTreeSet<Stack>,
    /// The settings, and the destinations of telemetry.
    pub variables: Variables,
    /// All services, with includes and variables resolved.
    pub project: Project,
}

impl Plan {
    /// The plan for these stacks, below the root of a checkout.
    ///
    /// # Errors
    /// When a file is missing or cannot be read.
    pub fn new(root: &Path, stacks: &BTreeSet<Stack>, settings: &Variables) -> Result<Self> {
        let mut variables = settings.clone();
        variables.extend(destinations(root, stacks, settings)?);
        let mut project = Project::default();
        for stack in stacks {
            let stack = Project::read(&compose_file(root, *stack)?, &variables)?;
            project.services.extend(stack.services);
            project.secrets.extend(stack.secrets);
            project.volumes.extend(stack.volumes);
            for include in stack.includes {
                if !project.includes.contains(&include) {
                    project.includes.push(include);
                }
            }
        }
        Ok(Self { root: root.to_owned(), stacks: stacks.clone(), variables, project })
    }

    /// The titles of the stacks, for people.
    pub(crate) fn titles(&self) -> String {
        let titles: Vec<&str> = self.stacks.iter().map(|stack| stack.facts().title).collect();
        titles.join(" with ")
    }

    /// One Compose file for the whole project; files that several stacks include are included once.
    pub(crate) fn file(&self, name: &str) -> String {
        json!({ "name": name, "include": self.project.includes }).to_string()
    }

    /// The services in an order in which each comes after those that it needs.
    pub(crate) fn in_order(&self) -> Vec<(&str, &Service)> {
        let mut ordered: Vec<(&str, &Service)> = Vec::new();
        while ordered.len() < self.project.services.len() {
            let is_there = |name: &str| ordered.iter().any(|(there, _)| *there == name);
            let next = self.project.services.iter().find(|(name, service)| {
                let known = |need: &&str| self.project.services.contains_key(*need);
                !is_there(name) && service.needs().into_iter().filter(known).all(is_there)
            });
            // Compose reports circular needs.
            let Some((name, service)) = next else { break };
            ordered.push((name, service));
        }
        ordered
    }

    /// The sum of all memory limits, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let limit = |(name, service): (&String, &Service)| {
            service.memory().with_context(|| format!("service {name}"))
        };
        self.project.services.iter().map(limit).sum()
    }

    /// Every published port, with its service.
    ///
    /// # Errors
    /// Names a service whose ports cannot be read.
    pub fn published(&self) -> Result<Vec<(Published, &str)>> {
        let mut all = Vec::new();
        for (name, service) in &self.project.services {
            let ports = service.published().with_context(|| format!("service {name}"))?;
            all.extend(ports.into_iter().map(|port| (port, name.as_str())));
        }
        Ok(all)
    }

    /// The address on this machine of a service's port.
    pub(crate) fn address(&self, service: &str, port: u16) -> Option<SocketAddr> {
        let published = self.project.services.get(service)?.published().ok()?;
        published.into_iter().find(|published| published.container == port).map(|published| published.host)
    }
}

/// The services that no other stack has.
pub(crate) fn own_services(root: &Path, stack: Stack) -> Result<BTreeSet<String>> {
    let names = |stack: Stack| -> Result<BTreeSet<String>> {
        let plan = Plan::new(root, &[stack].into(), &placeholders())?;
        Ok(plan.project.services.into_keys().collect())
    };
    let mut own = names(stack)?;
    for other in Stack::docker().filter(|other| *other != stack) {
        own = &own - &names(other)?;
    }
    Ok(own)
}

/// Values in place of the secrets, for reading the files alone.
pub fn placeholders() -> Variables {
    secrets::names().into_iter().map(|name| (name.to_owned(), "-".to_owned())).collect()
}

/// The destinations of telemetry while these stacks run: spans go to all of them, log lines to those that take OTLP.
fn destinations(root: &Path, stacks: &BTreeSet<Stack>, settings: &Variables) -> Result<Variables> {
    let mut joined = Variables::new();
    for stack in stacks {
        let file = compose_file(root, *stack)?.with_file_name(DESTINATIONS);
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

fn compose_file(root: &Path, stack: Stack) -> Result<PathBuf> {
    let file =
        stack.compose_file(root).with_context(|| format!("{} has no Compose file", stack.facts().title))?;
    ensure!(file.exists(), "cannot find {}: run this in the checkout, or name it with --dir", file.display());
    Ok(file)
}

/// The absolute root of the checkout, with the Compose files below it.
///
/// # Errors
/// When the directory is no checkout.
pub fn root(dir: &Path) -> Result<PathBuf> {
    let root = fs::canonicalize(dir).with_context(|| format!("cannot use {}", dir.display()))?;
    let checkout = root.join("stacks").join(CHECKOUT);
    ensure!(
        checkout.exists(),
        "cannot find {}: run this in the checkout, or name it with --dir",
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

    fn plan(stacks: &[Stack]) -> Plan {
        Plan::new(&checkout(), &stacks.iter().copied().collect(), &placeholders()).unwrap()
    }

    #[test]
    fn elk_beside_classic_gets_spans_and_no_log_lines() {
        let both = plan(&[Stack::Classic, Stack::Elk]);
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

        let alone = plan(&[Stack::Elk]);
        assert_eq!((&*alone.variables["LOGS_EXPORTER"], &*alone.variables["LOGS_TO"]), ("none", ""));
        let file: serde_json::Value = serde_json::from_str(&both.file("x")).unwrap();
        assert_eq!(file["include"].as_array().unwrap().len(), 3, "the checkout once, and two stacks: {file}");
    }

    #[test]
    fn services_come_after_those_that_they_need() {
        let plan = plan(&[Stack::Lgtm, Stack::Elk]);
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
    fn each_stack_has_services_of_its_own() {
        assert_eq!(own_services(&checkout(), Stack::Classic).unwrap(), ["jaeger".to_owned()].into());
        assert_eq!(
            own_services(&checkout(), Stack::Lgtm).unwrap(),
            ["mimir", "tempo"].map(str::to_owned).into()
        );
        assert!(own_services(&checkout(), Stack::Elk).unwrap().contains("elasticsearch"));
    }
}
