//! Prometheus and Alertmanager out of the system's packages, with what the Docker stacks watch for: the same scrape
//! jobs, rules and routes, rendered for the places of this stack. Here there is no mail server: alerts go to the
//! gateway's alert log.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::{
    Stack,
    layout::{Layout, url},
    pace::Pace,
    ports, rabbitmq,
};

/// The rule files.
const RULES: [(&str, &str); 4] = [
    ("messaging.yaml", include_str!("../../prometheus/rules/messaging.yaml")),
    ("services.yaml", include_str!("../../prometheus/rules/services.yaml")),
    ("slo.yaml", include_str!("../../prometheus/rules/slo.yaml")),
    ("telemetry.yaml", include_str!("../../prometheus/rules/telemetry.yaml")),
];
const JOBS: &str = include_str!("../../prometheus/scrape/checkout.yaml");
const ROUTES: &str = include_str!("../../alertmanager/alertmanager.yaml");

/// Where both listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Prometheus.
    pub prometheus: SocketAddr,
    /// Alertmanager.
    pub alertmanager: SocketAddr,
}

impl Watch {
    /// The places that the settings name, else the usual ports, or free ones where those are taken; none where this
    /// machine lacks one of both, or `ALERTS=off` says that they are not wanted.
    pub(super) fn choose(settings: &BTreeMap<String, String>, any_free: bool) -> Result<Option<Self>> {
        if !is_wanted(settings) || !is_installed(settings) {
            return Ok(None);
        }
        let address = |variable: &str, usual: u16| match settings.get(variable) {
            Some(value) => ports::parse(variable, value),
            None => match SocketAddr::from((Ipv4Addr::LOCALHOST, usual)) {
                usual if !any_free && ports::obstacle(usual).is_none() => Ok(usual),
                _ => ports::free(),
            },
        };
        Ok(Some(Self {
            prometheus: address("PROMETHEUS_LISTEN", 9090)?,
            alertmanager: address("ALERTMANAGER_LISTEN", 9093)?,
        }))
    }
}

/// Whether both are wanted where they are installed.
pub(super) fn is_wanted(settings: &BTreeMap<String, String>) -> bool {
    settings.get("ALERTS").is_none_or(|value| value != "off")
}

/// The names of their programs, the first one that there is counts: Debian's Alertmanager has another than its own.
const PROMETHEUS: [&str; 1] = ["prometheus"];
const ALERTMANAGER: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];

/// Whether this machine has both.
pub(super) fn is_installed(settings: &BTreeMap<String, String>) -> bool {
    find(settings, &PROMETHEUS).is_some() && find(settings, &ALERTMANAGER).is_some()
}

fn find(settings: &BTreeMap<String, String>, names: &[&str]) -> Option<PathBuf> {
    let path = settings.get("PATH")?;
    let is_program = |file: &PathBuf| {
        file.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let places =
        names.iter().flat_map(|name| std::env::split_paths(OsStr::new(path)).map(move |dir| dir.join(name)));
    places.into_iter().find(is_program)
}

/// Both, as they are to be started.
pub(super) struct Watcher<'a> {
    pub(super) root: &'a Path,
    pub(super) layout: &'a Layout,
    pub(super) settings: &'a BTreeMap<String, String>,
    pub(super) watch: Watch,
}

impl Watcher<'_> {
    pub(super) fn prometheus(&self) -> Result<Command> {
        self.write(Pace::Shipped)?;
        let mut command =
            Command::new(find(self.settings, &PROMETHEUS).context("Prometheus is not installed any more")?);
        command.args([
            "--config.file=var/prometheus/prometheus.yaml".to_owned(),
            "--storage.tsdb.path=var/prometheus/data".to_owned(),
            "--storage.tsdb.retention.time=7d".to_owned(),
            "--enable-feature=exemplar-storage".to_owned(),
            // A drill renders other intervals, and wants to know whether they are taken.
            "--web.enable-lifecycle".to_owned(),
            format!("--web.listen-address={}", self.watch.prometheus),
        ]);
        Ok(command)
    }

    pub(super) fn alertmanager(&self) -> Result<Command> {
        self.write(Pace::Shipped)?;
        let program = find(self.settings, &ALERTMANAGER).context("Alertmanager is not installed any more")?;
        let mut command = Command::new(program);
        command.args([
            "--config.file=var/alertmanager/alertmanager.yaml".to_owned(),
            "--storage.path=var/alertmanager/data".to_owned(),
            // It is alone, and needs no port for others.
            "--cluster.listen-address=".to_owned(),
            format!("--web.listen-address={}", self.watch.alertmanager),
        ]);
        Ok(command)
    }

    /// Writes the settings of both, at this pace.
    pub(super) fn write(&self, pace: Pace) -> Result<()> {
        let prometheus = self.root.join("var/prometheus");
        let alertmanager = self.root.join("var/alertmanager");
        write(&prometheus.join("prometheus.yaml"), &pace.render(&self.scrapes()))?;
        for (name, rules) in RULES {
            write(&prometheus.join("rules").join(name), &pace.render(rules))?;
        }
        let token = alertmanager.join("alerts_token");
        write(&alertmanager.join("alertmanager.yaml"), &pace.render(&self.routes(&token)))?;
        write(&token, self.settings.get("ALERTS_TOKEN").map_or("", String::as_str))
    }

    fn scrapes(&self) -> String {
        let jobs = localized(JOBS, &self.places());
        format!(
            "global:\n  scrape_interval: 5s\n  scrape_timeout: 4s\n  evaluation_interval: 15s\n\
             rule_files: [rules/*.yaml]\n\
             alerting:\n  alertmanagers:\n    - static_configs: [{{ targets: [\"{}\"] }}]\n{jobs}",
            self.watch.alertmanager
        )
    }

    /// The addresses of the Docker stacks that have a counterpart here.
    fn places(&self) -> Vec<(&'static str, String)> {
        let place = |address| url(address).trim_start_matches("http://").to_owned();
        let Layout { gateway, payment, mailer, broker, .. } = self.layout;
        let mut places = vec![
            ("gateway:3000", place(*gateway)),
            ("payment:3001", place(*payment)),
            ("mailer:3002", place(*mailer)),
            ("prometheus:9090", place(self.watch.prometheus)),
            ("alertmanager:9093", place(self.watch.alertmanager)),
        ];
        places.extend(broker.map(|ports| ("rabbitmq:15692", place(rabbitmq::local(ports.metrics)))));
        places
    }

    fn routes(&self, token: &Path) -> String {
        without(&without(ROUTES, "smtp_"), "email_configs:")
            .replace("http://gateway:3000/", &format!("{}/", url(self.layout.gateway)))
            .replace("/run/secrets/alerts_token", &token.display().to_string())
    }
}

impl Stack {
    /// Has Prometheus and Alertmanager judge at another pace, from now until they are started again.
    pub async fn set_pace(&self, pace: Pace) -> Result<()> {
        let watcher = self.recipe().watcher()?;
        watcher.write(pace)?;
        for address in [watcher.watch.prometheus, watcher.watch.alertmanager] {
            let reload = url(address) + "/-/reload";
            let answer =
                self.client.post(&reload).send().await.with_context(|| format!("cannot ask {reload}"))?;
            let status = answer.status();
            let said = answer.text().await.unwrap_or_default();
            ensure!(status.is_success(), "{reload} answered {status}: {}", said.trim());
        }
        Ok(())
    }
}

/// The scrape jobs whose target is known here, at its place here; a job is a block between empty lines.
fn localized(jobs: &str, places: &[(&str, String)]) -> String {
    let is_job = |block: &str| block.contains("- job_name:");
    let local = |block: &str| {
        let (there, here) = places.iter().find(|(there, _)| block.contains(&format!("\"{there}\"")))?;
        Some(block.replace(there, here))
    };
    let blocks = jobs
        .split("\n\n")
        .filter_map(|block| if is_job(block) { local(block) } else { Some(block.to_owned()) });
    let blocks: Vec<String> = blocks.collect();
    // The head of the list stands in the block of its first job.
    blocks.join("\n\n")
}

/// YAML without the keys that begin like this, and all that is indented below them.
fn without(yaml: &str, key: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut below = None;
    let kept = yaml.lines().filter(|line| {
        if below.is_some_and(|level| line.trim().is_empty() || indent(line) > level) {
            return false;
        }
        below = line.trim_start().starts_with(key).then(|| indent(line));
        below.is_none()
    });
    kept.map(|line| format!("{line}\n")).collect()
}

fn write(file: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        // One of them is a token.
        let mut file =
            fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(file)?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_file_is_here() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus/rules");
        let mut shipped: Vec<_> = fs::read_dir(shipped)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        shipped.sort();
        assert_eq!(shipped, RULES.map(|(name, _)| name));
    }

    #[test]
    fn the_jobs_are_those_of_the_docker_stacks_as_far_as_they_are_here() {
        let directory = tempfile::tempdir().unwrap();
        let settings = BTreeMap::new();
        let layout = Layout::choose(&settings, true).unwrap();
        let watch = Watch {
            prometheus: "127.0.0.1:1".parse().unwrap(),
            alertmanager: "127.0.0.1:2".parse().unwrap(),
        };
        let watcher = Watcher { root: directory.path(), layout: &layout, settings: &settings, watch };
        let scrapes = watcher.scrapes();
        let jobs: Vec<_> =
            scrapes.lines().filter_map(|line| line.trim().strip_prefix("- job_name: ")).collect();
        let here = [
            "order-gateway",
            "payment-service",
            "email-service",
            "rabbitmq",
            "rabbitmq-queues",
            "prometheus",
            "alertmanager",
        ];
        assert_eq!(jobs, here);
        let routes = watcher.routes(Path::new("/token"));
        for absent in ["smtp", "email", "mailpit:", "gateway:3000", "/run/secrets"] {
            assert!(!routes.contains(absent), "{absent} in {routes}");
        }
        assert!(routes.contains(&format!("url: {}/alerts", url(layout.gateway))), "{routes}");
    }
}
