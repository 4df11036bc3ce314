//! What stands in the way of a stack on this machine: each finding says what to do.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::Result;

use super::{
    Kind,
    engine::{Container, Engine, Info},
    plan::{self, Plan},
    up::{running, settings},
};
use crate::{
    local::{Options, ports},
    style::{Style, size},
};

/// Elasticsearch maps its files into memory: with less it would refuse to be part of a cluster; alone it starts, and
/// fails when it has many of them.
const MAP_COUNT: u64 = 262_144;
/// Less free disk than this is a problem now: Elasticsearch stops taking data at 1 GiB.
const DISK_LEAST: u64 = 2 << 30;
/// Less than this will be one soon: the images alone are several GiB.
const DISK_ENOUGH: u64 = 10 << 30;
/// Log lines and spans carry the engine's time, and questions about them this machine's.
const CLOCK_SECONDS: f64 = 2.0;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Good,
    /// It may become a problem.
    Doubtful,
    /// The stack can't start, or won't work.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at.
    pub topic: &'static str,
    /// What was found, and what to do about it.
    pub text: String,
}

impl Finding {
    fn new(level: Level, topic: &'static str, text: impl Into<String>) -> Self {
        Self { level, topic, text: text.into() }
    }
}

/// Looks at this machine for one stack, or for each; says whether it can start.
pub async fn doctor(options: &Options, kind: Option<Kind>) -> Result<bool> {
    let root = plan::root(&options.dir)?;
    let mut settings = settings(options, &root)?;
    for (name, value) in plan::placeholders() {
        settings.entry(name).or_insert(value);
    }
    let kinds = kind.map_or(Kind::ALL.to_vec(), |kind| vec![kind]);
    let plans: Vec<Plan> =
        kinds.iter().map(|kind| Plan::new(&root, &[*kind].into(), &settings)).collect::<Result<_>>()?;
    let mut findings = Vec::new();
    match Engine::find(&root, &settings).await {
        Err(error) => findings.push(Finding::new(Level::Bad, "engine", error.to_string())),
        Ok(engine) => {
            let about = format!("Docker {} with Compose {}", engine.info.server_version, engine.compose);
            findings.push(Finding::new(Level::Good, "engine", about));
            findings.extend(machine(&engine));
            let containers = engine.containers().await?;
            let running = running(&root, &containers)?;
            for (plan, kind) in plans.iter().zip(&kinds) {
                findings.extend(memory(plan, engine.info.mem_total)?);
                match running.iter().find(|other| !other.fits_beside(*kind)) {
                    Some(other) => findings.push(in_the_way(*kind, *other)),
                    None => findings.extend(addresses(plan, &containers)?),
                }
            }
            if kinds.contains(&Kind::Elk) {
                findings.extend(map_count(&engine.info));
            }
        }
    }
    show(&findings)?;
    Ok(findings.iter().all(|finding| finding.level < Level::Bad))
}

/// What has to be known before a stack is started.
pub(super) fn before_start(plan: &Plan, engine: &Engine, containers: &[Container]) -> Result<Vec<Finding>> {
    let mut findings = machine(engine);
    findings.extend(memory(plan, engine.info.mem_total)?);
    findings.extend(addresses(plan, containers)?);
    if plan.kinds.contains(&Kind::Elk) {
        findings.extend(map_count(&engine.info));
    }
    Ok(findings)
}

/// Disk, clock and limits: the same for every stack.
fn machine(engine: &Engine) -> Vec<Finding> {
    let info = &engine.info;
    let mut findings = Vec::new();
    if !info.memory_limit {
        findings.push(Finding::new(
            Level::Doubtful,
            "limits",
            "the engine can't limit memory, so the totals below are not kept: enable the cgroup controller `memory`",
        ));
    }
    // With Docker Desktop that directory is in its virtual machine.
    let place = if info.docker_root_dir.exists() { &*info.docker_root_dir } else { Path::new(".") };
    if let Ok(disk) = rustix::fs::statvfs(place) {
        findings.push(disk_of(disk.f_bavail * disk.f_frsize, place));
    }
    findings.push(clock(engine.ahead));
    findings
}

fn disk_of(free: u64, place: &Path) -> Finding {
    let level = match free {
        0..DISK_LEAST => Level::Bad,
        DISK_LEAST..DISK_ENOUGH => Level::Doubtful,
        _ => Level::Good,
    };
    let remedy = "; `docker system df` shows what takes it, `docker image prune --all` removes images that nobody uses";
    let remedy = if level == Level::Good { "" } else { remedy };
    Finding::new(level, "disk", format!("{} free in {}{remedy}", size(free), place.display()))
}

fn clock(ahead: f64) -> Finding {
    if ahead.abs() < CLOCK_SECONDS {
        return Finding::new(Level::Good, "clock", "that of the engine agrees with this machine's");
    }
    let text = format!(
        "the engine's differs by {ahead:.0} s, so that what has just happened is looked for at the wrong time: restart \
         Docker Desktop, or synchronise both with NTP (`timedatectl set-ntp true`)"
    );
    Finding::new(Level::Bad, "clock", text)
}

fn memory(plan: &Plan, total: u64) -> Result<Vec<Finding>> {
    let needed = plan.memory()?;
    let names: Vec<&str> = plan.kinds.iter().map(|kind| kind.title()).collect();
    let text = format!("{} takes at most {} of {}", names.join(" with "), size(needed), size(total));
    Ok(vec![if needed > total {
        let text = text + ": give Docker more memory, or the kernel may end what takes most";
        Finding::new(Level::Doubtful, "memory", text)
    } else {
        Finding::new(Level::Good, "memory", text)
    }])
}

/// The ports that somebody else has; those of our own containers are where they belong.
fn addresses(plan: &Plan, containers: &[Container]) -> Result<Vec<Finding>> {
    let ours: BTreeSet<&str> =
        containers.iter().filter(|container| container.runs()).map(|container| &*container.service).collect();
    let mut findings = Vec::new();
    for (port, service) in plan.published()? {
        if ours.contains(service) {
            continue;
        }
        if let Some(obstacle) = ports::obstacle(port.host) {
            let other = ports::free()?;
            let text = format!(
                "{}, for {service}, {obstacle}: stop it, or set {}={other} in .env",
                port.host, port.setting
            );
            findings.push(Finding::new(Level::Bad, "ports", text));
        }
    }
    if findings.is_empty() {
        let names: Vec<&str> = plan.kinds.iter().map(|kind| kind.title()).collect();
        findings.push(Finding::new(
            Level::Good,
            "ports",
            format!("those of {} are free, or its own", names.join(" with ")),
        ));
    }
    Ok(findings)
}

fn in_the_way(kind: Kind, other: Kind) -> Finding {
    let text =
        format!("those of {} are taken by {}: `make down-{other}` makes room", kind.title(), other.title());
    Finding::new(Level::Doubtful, "ports", text)
}

fn map_count(info: &Info) -> Option<Finding> {
    // Docker Desktop sets it in its virtual machine, where we can't look.
    if info.operating_system.contains("Docker Desktop") {
        return None;
    }
    let found: u64 = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
    let text = format!("vm.max_map_count is {found}");
    Some(if found < MAP_COUNT {
        let remedy = format!(
            "; Elasticsearch wants {MAP_COUNT}, though for little data it does without: `sudo sysctl -w \
             vm.max_map_count={MAP_COUNT}`, and the same in /etc/sysctl.d/ to keep it"
        );
        let text = text + &remedy;
        Finding::new(Level::Doubtful, "kernel", text)
    } else {
        Finding::new(Level::Good, "kernel", text)
    })
}

fn show(findings: &[Finding]) -> Result<()> {
    let style = Style::for_stdout();
    let lines = findings.iter().map(|finding| {
        let line = format!("{:<8} {}", finding.topic, finding.text);
        match finding.level {
            Level::Good => format!("{} {line}\n", style.good("✓")),
            Level::Doubtful => format!("{} {line}\n", style.bad("!")),
            Level::Bad => format!("{} {line}\n", style.bad("✗")),
        }
    });
    crate::commands::show(&lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_bad_and_says_what_frees_it() {
        let levels = [1 << 30, 5 << 30, 50 << 30].map(|free| disk_of(free, Path::new("/")).level);
        assert_eq!(levels, [Level::Bad, Level::Doubtful, Level::Good]);
        assert!(disk_of(1 << 30, Path::new("/")).text.contains("docker image prune"));
    }

    #[test]
    fn a_clock_that_differs_is_told_by_how_much() {
        assert_eq!(clock(1.5).level, Level::Good);
        assert!(clock(-90.0).text.contains("differs by -90 s"));
    }
}
