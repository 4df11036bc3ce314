//! Host names in the configuration of a stack: each must be a service of its Compose files, which have their own rules.

use anyhow::Result;
use serde_json::Value;

use super::{
    files::{Tree, visit},
    findings::Findings,
    grafana,
    prometheus::whole_config,
};
use crate::{
    compose::{
        check::check as check_compose,
        plan::{Plan, placeholders},
    },
    stack::Stack,
};

const ALERTMANAGER: &str = "stacks/alertmanager/alertmanager.yaml";

/// Checks the Compose files, and the host names in the configuration of Prometheus, Alertmanager and Grafana.
pub(super) fn check(tree: &Tree, findings: &mut Findings) -> Result<()> {
    for problem in check_compose(tree.root())? {
        findings.add("stacks", problem);
    }
    for stack in Stack::docker() {
        let Some(configuration) = stack.facts().prometheus_config else { continue };
        let plan = Plan::new(tree.root(), &[stack].into(), &placeholders())?;
        let mut check_hosts = |file: &str, document: &Value| {
            visit(document, &mut |value| {
                let host =
                    value.as_str().and_then(host).filter(|host| !plan.project.services.contains_key(*host));
                if let Some(host) = host {
                    findings.add(file, format!("{host} is no service of the stack {stack}"));
                }
            });
        };
        // A malformed file is a finding of promtool's check.
        if let Ok(config) = whole_config(&tree.root().join(configuration)) {
            check_hosts(configuration, &config);
        }
        for file in [ALERTMANAGER, &grafana::sources_of(stack)] {
            tree.values(file).for_each(|(_, document)| check_hosts(file, document));
        }
    }
    Ok(())
}

/// The host in `host:port` or `http://host:port/…`.
fn host(text: &str) -> Option<&str> {
    let place = text.strip_prefix("http://").unwrap_or(text);
    let (host, rest) = place.split_once(':')?;
    let port = rest.split('/').next()?;
    let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
    (!host.is_empty() && host.chars().all(is_name) && port.parse::<u16>().is_ok()).then_some(host)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn hosts_are_told_from_other_texts_with_a_colon() {
        assert_eq!(host("gateway:3000"), Some("gateway"));
        assert_eq!(host("http://mimir:9009/api/v1/push"), Some("mimir"));
        for other in ["job:http_errors:rate5m", "5m", "https://grafana.com", "a: 1", ":80", "order:id"] {
            assert_eq!(host(other), None, "{other}");
        }
    }

    #[test]
    fn an_unknown_host_is_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut findings = Findings::default();
        let mut tree = Tree::read(root, &mut findings).unwrap();
        check(&tree, &mut findings).unwrap();
        assert!(findings.all().is_empty(), "{findings:?}");
        let sources = &grafana::sources_of(Stack::Lgtm);
        let moved = tree.text(sources).unwrap().replace("http://tempo:", "http://temp:");
        tree.replace(sources, moved);
        check(&tree, &mut findings).unwrap();
        let found: Vec<_> = findings.all().iter().map(ToString::to_string).collect();
        assert_eq!(found, [format!("{sources}: temp is no service of the stack lgtm")]);
    }
}
