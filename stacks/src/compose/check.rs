//! The rules for Compose files, checked without Docker.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::Result;
use serde_json::Value;

use super::{
    credentials,
    plan::{self, Plan},
    service::Service,
};
use crate::stack::Stack;

/// Services that run as root without capabilities; their files say why.
const ROOT: [&str; 2] = ["mailpit", "mimir"];
/// Services with a writable root file system; their files say why.
const WRITABLE: [&str; 4] = ["elasticsearch", "grafana", "kibana", "logstash"];

/// The problems of every stack, and of those that can run side by side.
///
/// # Errors
/// When a file cannot be read.
pub fn check(root: &Path) -> Result<Vec<String>> {
    let mut all = BTreeSet::new();
    for one in Stack::docker() {
        for other in Stack::docker().filter(|other| one <= *other && one.fits_beside(*other)) {
            let plan = Plan::new(root, &[one, other].into(), &plan::placeholders())?;
            all.extend(problems(&plan));
        }
    }
    Ok(all.into_iter().collect())
}

/// The problems of one plan.
pub fn problems(plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, service) in &plan.project.services {
        let of_service = [
            image(service),
            hardening(name, service),
            running(service),
            ports(service),
            secrets(service, plan),
            mounts(service, plan),
            needs(service, plan),
        ];
        problems.extend(of_service.into_iter().flatten().map(|problem| format!("{name}: {problem}")));
    }
    problems.extend(addresses(plan));
    problems.extend(versions(plan));
    problems.extend(destinations(plan));
    problems
}

fn image(service: &Service) -> Vec<String> {
    let (image, digest) = service
        .image
        .split_once('@')
        .map_or((&*service.image, None), |(image, digest)| (image, Some(digest)));
    let tag = image.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'));
    let mut problems = Vec::new();
    match (tag, &service.build) {
        (None, None) => problems.push(format!("the image `{image}` has no tag")),
        (Some("latest" | ""), _) => problems.push(format!("the image `{image}` is not pinned")),
        _ => {}
    }
    let is_digest = |digest: &str| {
        digest
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    if digest.is_some_and(|digest| !is_digest(digest)) {
        problems.push(format!("the digest of `{image}` is not SHA-256"));
    }
    problems
}

fn hardening(name: &str, service: &Service) -> Vec<String> {
    let user = service.user.as_deref().unwrap_or_default();
    let is_root = user.is_empty() || user.split(':').next() == Some("0");
    let rules = [
        (service.cap_drop != ["ALL"], "keeps capabilities"),
        (!service.cap_add.is_empty(), "is given capabilities"),
        (service.privileged, "is privileged"),
        (
            !service.security_opt.iter().any(|option| option == "no-new-privileges:true"),
            "may gain privileges",
        ),
        (is_root != ROOT.contains(&name), "runs as root and is not listed, or is listed and does not"),
        (
            service.read_only == WRITABLE.contains(&name),
            "has a writable root and is not listed, or is listed and has not",
        ),
        (
            service.environment.get("http_proxy").and_then(Value::as_str) != Some(""),
            "takes the proxy that Docker is configured with",
        ),
        (
            service.healthcheck.as_ref().is_some_and(|check| check.to_string().contains("localhost")),
            "has a health check of localhost, which may be ::1: write 127.0.0.1",
        ),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, problem)| problem.to_owned()).collect()
}

fn running(service: &Service) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = service.memory() {
        problems.push(error.to_string());
    }
    match service.ready_url() {
        Ok(None) if service.healthcheck.is_none() && !service.is_job() => {
            problems.push("has neither a health check nor a readiness probe".into());
        }
        Ok(_) => {}
        Err(error) => problems.push(error.to_string()),
    }
    if service.restart.is_none() {
        problems.push("does not restart after a crash".into());
    }
    problems
}

fn ports(service: &Service) -> Vec<String> {
    let published = match service.published() {
        Ok(published) => published,
        Err(error) => return vec![error.to_string()],
    };
    let mut problems = Vec::new();
    for port in published {
        if !port.host.ip().is_loopback() {
            problems.push(format!("{} is not on loopback", port.host));
        }
        if !port.setting.ends_with("_LISTEN") {
            problems.push(format!("no setting like NAME_LISTEN moves {}", port.host));
        }
    }
    problems
}

fn secrets(service: &Service, plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in &service.environment {
        let is_secret = ["PASSWORD", "TOKEN", "SECRET", "KEY"].iter().any(|word| name.contains(word));
        // Variables have been replaced by placeholders.
        let is_literal =
            value.as_str().is_some_and(|value| value != "-" && !value.starts_with("/run/secrets/"));
        if is_secret && is_literal {
            problems.push(format!("{name} is written in the file"));
        }
    }
    for name in service.secret_names() {
        let file = plan.project.secrets.get(name);
        let is_written = file.and_then(|file| file.strip_prefix(&plan.root).ok()).is_some_and(|file| {
            credentials::FILES.iter().any(|known| file == Path::new("var/secrets").join(known))
        });
        if !is_written {
            problems.push(format!("no file is written for the secret {name}"));
        }
    }
    problems
}

fn mounts(service: &Service, plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    for volume in &service.volumes {
        let (source, target) = volume.split_once(':').unwrap_or((volume, ""));
        if source.starts_with('/') {
            if !Path::new(source).exists() {
                problems.push(format!("mounts {source}, which does not exist"));
            }
            // With SELinux, `z` makes the file readable in containers.
            if !target.ends_with(":ro,z") {
                problems.push(format!("could write {source}, or not read it with SELinux"));
            }
        } else if !plan.project.volumes.iter().any(|name| name == source) {
            problems.push(format!("the volume {source} is not declared"));
        }
    }
    problems
}

fn needs(service: &Service, plan: &Plan) -> Vec<String> {
    let unknown = service.needs().into_iter().filter(|need| !plan.project.services.contains_key(*need));
    unknown.map(|need| format!("needs {need}, which is not in the project")).collect()
}

/// Each port of this machine belongs to one service and has its own setting.
fn addresses(plan: &Plan) -> Vec<String> {
    let Ok(published) = plan.published() else { return Vec::new() };
    let (mut hosts, mut settings) = (BTreeMap::new(), BTreeMap::new());
    let mut problems = Vec::new();
    for (port, service) in published {
        if let Some(other) = hosts.insert(port.host, service) {
            problems.push(format!("{other} and {service} are both on {}", port.host));
        }
        if let Some(other) = settings.insert(port.setting.clone(), service) {
            problems.push(format!("{} moves {other} and {service}", port.setting));
        }
    }
    problems
}

/// Elastic's programs work together in one version only.
fn versions(plan: &Plan) -> Vec<String> {
    let images =
        plan.project.services.values().filter_map(|service| service.image.strip_prefix("docker.elastic.co/"));
    let versions: BTreeSet<&str> =
        images.filter_map(|image| image.split('@').next()?.rsplit_once(':')).map(|(_, tag)| tag).collect();
    if versions.len() > 1 {
        vec![format!("Elastic's images have several versions: {versions:?}")]
    } else {
        Vec::new()
    }
}

/// The services send their telemetry to services of the project.
fn destinations(plan: &Plan) -> Vec<String> {
    let of = |name: &str| plan.variables.get(name).map_or("", String::as_str);
    let urls = of("TRACES_TO").split(',').chain(of("LOGS_TO").split(',')).filter(|url| !url.is_empty());
    let host = |url: &str| reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
    let lost = urls.filter(|url| !host(url).is_some_and(|host| plan.project.services.contains_key(&host)));
    let mut problems: Vec<String> =
        lost.map(|url| format!("no service of the project is at {url}")).collect();
    if of("TRACES_TO").is_empty() {
        problems.push("the services have no destination for spans".into());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The problems that a change of one service adds.
    fn found(name: &str, change: impl FnOnce(&mut Service)) -> Vec<String> {
        let root = plan::root(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        let stacks = [Stack::Classic, Stack::Elk].into();
        let mut plan = Plan::new(&root, &stacks, &plan::placeholders()).unwrap();
        let before: BTreeSet<_> = problems(&plan).into_iter().collect();
        change(plan.project.services.get_mut(name).unwrap());
        problems(&plan).into_iter().filter(|problem| !before.contains(problem)).collect()
    }

    #[test]
    fn every_broken_rule_is_found() {
        type Change = fn(&mut Service);
        let cases: [(&str, Change, &str); 26] = [
            ("loki", |s| s.image = "grafana/loki".into(), "has no tag"),
            ("loki", |s| s.image = "grafana/loki:latest".into(), "is not pinned"),
            ("loki", |s| s.image = "grafana/loki:3.7.8@sha256:abc".into(), "the digest"),
            ("kibana", |s| s.image = "docker.elastic.co/kibana/kibana:9.5.6".into(), "several versions"),
            ("loki", |s| s.cap_drop.clear(), "keeps capabilities"),
            ("loki", |s| s.cap_add.push("NET_ADMIN".into()), "is given capabilities"),
            ("loki", |s| s.privileged = true, "is privileged"),
            ("loki", |s| s.security_opt.clear(), "may gain privileges"),
            ("loki", |s| s.user = None, "runs as root"),
            ("loki", |s| s.user = Some("0:0".into()), "runs as root"),
            ("loki", |s| s.read_only = false, "writable root"),
            ("loki", |s| s.mem_limit = None, "no mem_limit"),
            ("loki", |s| s.healthcheck = None, "neither a health check"),
            ("loki", |s| s.restart = None, "after a crash"),
            ("loki", |s| s.ports[0] = "0.0.0.0:3100:3100".into(), "not on loopback"),
            ("loki", |s| s.port_settings.clear(), "no setting"),
            ("loki", |s| s.ports[0] = "127.0.0.1:9090:3100".into(), "both on 127.0.0.1:9090"),
            (
                "kibana",
                |s| _ = s.environment.insert("A_PASSWORD".into(), json!("x")),
                "is written in the file",
            ),
            ("loki", |s| s.secrets.push(json!("other")), "no file is written"),
            ("loki", |s| s.volumes.push("/not/there:/x:ro".into()), "which does not exist"),
            ("loki", |s| s.volumes.push("/tmp:/x".into()), "could write /tmp"),
            ("loki", |s| s.volumes.push("/tmp:/x:ro".into()), "not read it with SELinux"),
            ("loki", |s| s.environment.clear(), "takes the proxy"),
            ("loki", |s| s.healthcheck = Some(json!(["http://localhost:1"])), "which may be ::1"),
            ("loki", |s| s.volumes.push("undeclared:/x".into()), "not declared"),
            ("loki", |s| s.depends_on = json!(["absent"]), "needs absent"),
        ];
        for (name, change, expected) in cases {
            let problems = found(name, change);
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
        }
    }

    #[test]
    fn spans_without_a_destination_are_found() {
        let root = plan::root(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        let mut plan = Plan::new(&root, &[Stack::Classic].into(), &plan::placeholders()).unwrap();
        plan.variables.insert("TRACES_TO".into(), "http://zipkin:4318/v1/traces".into());
        assert!(
            problems(&plan)
                .contains(&"no service of the project is at http://zipkin:4318/v1/traces".to_owned())
        );
        plan.variables.insert("TRACES_TO".into(), String::new());
        assert!(problems(&plan).contains(&"the services have no destination for spans".to_owned()));
    }
}
