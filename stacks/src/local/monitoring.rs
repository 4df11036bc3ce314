//! Prometheus and Alertmanager of the local stack, with the scrape jobs, rules and routes of the Docker stacks rendered
//! for its addresses. Without a mail server, alerts go to the gateway's alert log alone.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{
    installed::{ALERTMANAGER, PROMETHEUS, find},
    layout::{Layout, Watch},
    pace::Pace,
    rabbitmq,
};
use crate::{address::url, secrets::write, settings::Settings};

/// The rule files.
const RULES: [(&str, &str); 4] = [
    ("messaging.yaml", include_str!("../../prometheus/rules/messaging.yaml")),
    ("services.yaml", include_str!("../../prometheus/rules/services.yaml")),
    ("slo.yaml", include_str!("../../prometheus/rules/slo.yaml")),
    ("telemetry.yaml", include_str!("../../prometheus/rules/telemetry.yaml")),
];
const JOBS: &str = include_str!("../../prometheus/scrape/checkout.yaml");
const ROUTES: &str = include_str!("../../alertmanager/alertmanager.yaml");

/// The configuration and the commands of both programs.
pub(super) struct Monitoring<'a> {
    pub(super) root: &'a Path,
    pub(super) layout: &'a Layout,
    pub(super) settings: &'a Settings,
    pub(super) watch: Watch,
}

impl Monitoring<'_> {
    pub(super) fn prometheus(&self) -> Result<Command> {
        self.write(Pace::Shipped)?;
        let mut command = Command::new(find(self.settings, PROMETHEUS).context("cannot find Prometheus")?);
        command.args([
            "--config.file=var/prometheus/prometheus.yaml".to_owned(),
            "--storage.tsdb.path=var/prometheus/data".to_owned(),
            "--storage.tsdb.retention.time=7d".to_owned(),
            "--enable-feature=exemplar-storage".to_owned(),
            // A drill reloads the configuration with other intervals.
            "--web.enable-lifecycle".to_owned(),
            format!("--web.listen-address={}", self.watch.prometheus),
        ]);
        Ok(command)
    }

    pub(super) fn alertmanager(&self) -> Result<Command> {
        self.write(Pace::Shipped)?;
        let program = find(self.settings, ALERTMANAGER).context("cannot find Alertmanager")?;
        let mut command = Command::new(program);
        command.args([
            "--config.file=var/alertmanager/alertmanager.yaml".to_owned(),
            "--storage.path=var/alertmanager/data".to_owned(),
            // A single instance: no port for a cluster.
            "--cluster.listen-address=".to_owned(),
            format!("--web.listen-address={}", self.watch.alertmanager),
        ]);
        Ok(command)
    }

    /// Writes the configuration of both at a pace.
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
        let jobs = localized(JOBS, &self.addresses());
        format!(
            "global:\n  scrape_interval: 5s\n  scrape_timeout: 4s\n  evaluation_interval: 15s\n\
             rule_files: [rules/*.yaml]\n\
             alerting:\n  alertmanagers:\n    - static_configs: [{{ targets: [\"{}\"] }}]\n{jobs}",
            self.watch.alertmanager
        )
    }

    /// The targets of the Docker stacks, with their addresses in this stack.
    fn addresses(&self) -> Vec<(&'static str, String)> {
        let target = |address| url(address).trim_start_matches("http://").to_owned();
        let Layout { gateway, payment, mailer, broker, .. } = self.layout;
        let mut addresses = vec![
            ("gateway:3000", target(*gateway)),
            ("payment:3001", target(*payment)),
            ("mailer:3002", target(*mailer)),
            ("prometheus:9090", target(self.watch.prometheus)),
            ("alertmanager:9093", target(self.watch.alertmanager)),
        ];
        addresses.extend(broker.map(|ports| ("rabbitmq:15692", target(rabbitmq::local(ports.metrics)))));
        addresses
    }

    fn routes(&self, token: &Path) -> String {
        let without_mail = ["smtp_", "email_configs:", "templates:"];
        without_mail
            .iter()
            .fold(ROUTES.to_owned(), |routes, key| without(&routes, key))
            .replace("http://gateway:3000/", &format!("{}/", url(self.layout.gateway)))
            .replace("/run/secrets/alerts_token", &token.display().to_string())
    }
}

/// The scrape jobs whose target is part of this stack, with its address; a job is a block between empty lines.
fn localized(jobs: &str, addresses: &[(&str, String)]) -> String {
    let is_job = |block: &str| block.contains("- job_name:");
    let local = |block: &str| {
        let (there, here) = addresses.iter().find(|(there, _)| block.contains(&format!("\"{there}\"")))?;
        Some(block.replace(there, here))
    };
    let blocks = jobs
        .split("\n\n")
        .filter_map(|block| if is_job(block) { local(block) } else { Some(block.to_owned()) });
    let blocks: Vec<String> = blocks.collect();
    // The head of the list stands in the block of its first job.
    blocks.join("\n\n")
}

/// YAML without the keys that begin with `key`, and the lines indented below them.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_rule_file_is_included() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus/rules");
        let mut shipped: Vec<_> = fs::read_dir(shipped)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        shipped.sort();
        assert_eq!(shipped, RULES.map(|(name, _)| name));
    }

    #[test]
    fn jobs_and_routes_are_rendered_for_the_local_addresses() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings::new();
        let layout = Layout::choose(&settings, true).unwrap();
        let watch = Watch {
            prometheus: "127.0.0.1:1".parse().unwrap(),
            alertmanager: "127.0.0.1:2".parse().unwrap(),
        };
        let monitoring = Monitoring { root: directory.path(), layout: &layout, settings: &settings, watch };
        let scrapes = monitoring.scrapes();
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
        let routes = monitoring.routes(Path::new("/token"));
        for absent in ["smtp", "email", "runbook", "mailpit:", "gateway:3000", "/run/secrets"] {
            assert!(!routes.contains(absent), "{absent} in {routes}");
        }
        assert!(routes.contains(&format!("url: {}/alerts", url(layout.gateway))), "{routes}");
    }
}
