//! `stacks doctor`: what keeps a Docker stack from running on this machine, and what to do about it.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Result;

use super::{
    container::Container,
    engine::{Engine, Info, version},
    finding::{Finding, Level},
    host,
    plan::{self, Plan},
};
use crate::{
    address,
    output::show,
    settings::Options,
    stack::{Stack, of_containers},
    style::{Style, size},
};

/// Elasticsearch stops taking data at 1 GiB of free disk.
const MIN_DISK: u64 = 2 << 30;
/// The images alone are several GiB.
const AMPLE_DISK: u64 = 10 << 30;
/// The last Jaeger with /api/services and /api/traces?…, which Grafana's Jaeger data source asks.
const LAST_SEARCHABLE_JAEGER: (u32, u32) = (2, 20);
/// With this feature it asks /api/v3 for services, operations and a trace by its id; for a search it has nothing new.
const GRAFANA_ASKS_V3: &str = "jaegerEnableGrpcEndpoint";
/// Log lines and spans carry the engine's time, queries for them this machine's.
const MAX_CLOCK_SECONDS: f64 = 2.0;

/// Checks this machine for one stack, or for each; true if every stack can start.
///
/// # Errors
/// When a file cannot be read, or Docker's answer cannot.
pub async fn doctor(options: &Options, stack: Option<Stack>) -> Result<bool> {
    let root = plan::root(&options.dir)?;
    let mut settings = options.settings()?;
    for (name, value) in plan::placeholders() {
        settings.entry(name).or_insert(value);
    }
    let stacks = stack.map_or_else(|| Stack::docker().collect(), |stack| vec![stack]);
    let plans: Vec<Plan> =
        stacks.iter().map(|stack| Plan::new(&root, &[*stack].into(), &settings)).collect::<Result<_>>()?;
    let mut findings = Vec::new();
    match Engine::find(&root, &settings).await {
        Err(error) => findings.push(Finding::new(Level::Bad, "engine", error.to_string())),
        Ok(engine) => {
            let about = format!("Docker {} with Compose {}", engine.info.server_version, engine.compose);
            findings.push(Finding::new(Level::Good, "engine", about));
            findings.extend(machine(&engine));
            let containers = engine.containers().await?;
            let running = of_containers(&root, &containers)?;
            for (plan, stack) in plans.iter().zip(&stacks) {
                findings.extend(memory(plan, engine.info.mem_total)?);
                findings.extend(jaeger_without_grafana(plan));
                findings.extend(host::unreadable(plan, &engine.info));
                match running.iter().find(|other| !other.fits_beside(*stack)) {
                    Some(other) => findings.push(in_the_way(*stack, *other)),
                    None => findings.extend(addresses(plan, &containers)?),
                }
            }
            findings.extend(memory_maps(&stacks, &engine.info));
        }
    }
    show(&text(&findings))?;
    Ok(findings.iter().all(|finding| finding.level < Level::Bad))
}

/// The findings before a plan is started.
pub(super) fn before_start(plan: &Plan, engine: &Engine, containers: &[Container]) -> Result<Vec<Finding>> {
    let mut findings = machine(engine);
    findings.extend(memory(plan, engine.info.mem_total)?);
    findings.extend(jaeger_without_grafana(plan));
    findings.extend(host::unreadable(plan, &engine.info));
    findings.extend(addresses(plan, containers)?);
    findings.extend(memory_maps(&plan.stacks, &engine.info));
    Ok(findings)
}

/// Disk, clock and limits, the same for every stack.
fn machine(engine: &Engine) -> Vec<Finding> {
    let info = &engine.info;
    let mut findings = Vec::new();
    if !info.memory_limit {
        findings.push(Finding::new(
            Level::Doubtful,
            "limits",
            "the engine cannot limit memory, so that the limits below do not hold: enable the cgroup controller `memory`",
        ));
    }
    // With Docker Desktop that directory is in its virtual machine.
    let dir = if info.docker_root_dir.exists() { &*info.docker_root_dir } else { Path::new(".") };
    if let Ok(disk) = rustix::fs::statvfs(dir) {
        findings.push(disk_of(disk.f_bavail * disk.f_frsize, dir));
    }
    findings.push(clock(engine.ahead));
    findings.extend(host::engine(engine));
    findings
}

fn disk_of(free: u64, dir: &Path) -> Finding {
    let level = match free {
        0..MIN_DISK => Level::Bad,
        MIN_DISK..AMPLE_DISK => Level::Doubtful,
        _ => Level::Good,
    };
    let remedy = "; `docker system df` shows what uses it, `docker image prune --all` removes unused images";
    let remedy = if level == Level::Good { "" } else { remedy };
    Finding::new(level, "disk", format!("{} free in {}{remedy}", size(free), dir.display()))
}

fn clock(ahead: f64) -> Finding {
    if ahead.abs() < MAX_CLOCK_SECONDS {
        return Finding::new(Level::Good, "clock", "the engine's clock agrees with this machine's");
    }
    let text = format!(
        "the engine's clock differs by {ahead:.0} s, so that queries for the last minutes miss telemetry: restart Docker \
         Desktop, or synchronise both with NTP (`timedatectl set-ntp true`)"
    );
    Finding::new(Level::Bad, "clock", text)
}

fn memory(plan: &Plan, total: u64) -> Result<Vec<Finding>> {
    let needed = plan.memory()?;
    let text = format!("{} takes at most {} of {}", plan.titles(), size(needed), size(total));
    Ok(vec![if needed > total {
        let text = text + ": give Docker more memory, or the kernel may kill the largest container";
        Finding::new(Level::Doubtful, "memory", text)
    } else {
        Finding::new(Level::Good, "memory", text)
    }])
}

/// A Jaeger whose traces Grafana cannot search: after 2.20 it lacks the API that Grafana's data source asks.
fn jaeger_without_grafana(plan: &Plan) -> Option<Finding> {
    let image = plan.project.services.get("jaeger")?.image.split('@').next()?;
    let (_, tag) = image.rsplit_once(':')?;
    if version(tag)? <= LAST_SEARCHABLE_JAEGER {
        return None;
    }
    let features = plan.variables.get("GRAFANA_FEATURES").map_or("", String::as_str);
    let remedy = if features.contains(GRAFANA_ASKS_V3) {
        "links to a trace work, and its panels of slow and failed traces stay empty".to_owned()
    } else {
        format!(
            "set GRAFANA_FEATURES={GRAFANA_ASKS_V3} in .env for its list of services, or JAEGER_IMAGE to 2.20"
        )
    };
    let text = format!(
        "{image} lacks /api/services and /api/traces?…, with which Grafana searches for traces: {remedy}"
    );
    Some(Finding::new(Level::Doubtful, "versions", text))
}

/// The ports that other processes use; those of the project's own containers are no problem.
fn addresses(plan: &Plan, containers: &[Container]) -> Result<Vec<Finding>> {
    let ours: BTreeSet<&str> =
        containers.iter().filter(|container| container.runs()).map(|container| &*container.service).collect();
    let mut findings = Vec::new();
    for (port, service) in plan.published()? {
        if ours.contains(service) {
            continue;
        }
        if let Some(obstacle) = address::obstacle(port.host) {
            let other = address::free()?;
            let text = format!(
                "{}, for {service}, {obstacle}: stop it, or set {}={other} in .env",
                port.host, port.setting
            );
            findings.push(Finding::new(Level::Bad, "ports", text));
        }
    }
    if findings.is_empty() {
        let text = format!("the ports of {} are free or its own", plan.titles());
        findings.push(Finding::new(Level::Good, "ports", text));
    }
    Ok(findings)
}

fn in_the_way(stack: Stack, other: Stack) -> Finding {
    let (stack, other) = (stack.facts(), other.facts());
    let text =
        format!("the ports of {} are taken by {}: `{}` makes room", stack.title, other.title, other.stop);
    Finding::new(Level::Doubtful, "ports", text)
}

/// The kernel's limit of memory maps. A cluster of Elasticsearch refuses to start below it; a single node starts, and fails
/// once it has many files.
fn memory_maps<'a>(stacks: impl IntoIterator<Item = &'a Stack>, info: &Info) -> Option<Finding> {
    let wanted = stacks.into_iter().filter_map(|stack| stack.facts().memory_maps).max()?;
    // Docker Desktop sets it in its virtual machine, which this program cannot read.
    if info.operating_system.contains("Docker Desktop") {
        return None;
    }
    let found: u64 = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
    let text = format!("vm.max_map_count is {found}");
    if found >= wanted {
        return Some(Finding::new(Level::Good, "kernel", text));
    }
    let remedy = format!(
        "; Elasticsearch asks for {wanted}, and works with less while it has little data: `sudo sysctl -w \
         vm.max_map_count={wanted}`, and the same in /etc/sysctl.d/ to keep it"
    );
    Some(Finding::new(Level::Doubtful, "kernel", text + &remedy))
}

fn text(findings: &[Finding]) -> String {
    let style = Style::for_stdout();
    let lines = findings.iter().map(|finding| {
        let line = format!("{:<8} {}", finding.topic, finding.text);
        match finding.level {
            Level::Good => format!("{} {line}\n", style.good("✓")),
            Level::Doubtful => format!("{} {line}\n", style.bad("!")),
            Level::Bad => format!("{} {line}\n", style.bad("✗")),
        }
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_bad_and_has_a_remedy() {
        let levels = [1 << 30, 5 << 30, 50 << 30].map(|free| disk_of(free, Path::new("/")).level);
        assert_eq!(levels, [Level::Bad, Level::Doubtful, Level::Good]);
        assert!(disk_of(1 << 30, Path::new("/")).text.contains("docker image prune"));
    }

    #[test]
    fn a_jaeger_after_2_20_is_doubtful() {
        let root = plan::root(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        let with = |image: &str, features: &str| {
            let mut settings = plan::placeholders();
            settings.insert("JAEGER_IMAGE".into(), image.into());
            settings.insert("GRAFANA_FEATURES".into(), features.into());
            jaeger_without_grafana(&Plan::new(&root, &[Stack::Classic].into(), &settings).unwrap())
        };
        assert!(with("", "").is_none() && with("my/jaeger", "").is_none());
        let next = |features| with("jaegertracing/jaeger:2.21.0", features).unwrap().text;
        assert!(next("").contains("JAEGER_IMAGE") && next("").contains("GRAFANA_FEATURES"));
        assert!(next(GRAFANA_ASKS_V3).contains("links to a trace work"));
    }

    #[test]
    fn a_differing_clock_is_reported_in_seconds() {
        assert_eq!(clock(1.5).level, Level::Good);
        assert!(clock(-90.0).text.contains("differs by -90 s"));
    }
}
