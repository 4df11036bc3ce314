//! Faults of the receiver of telemetry and of the files that wait for it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use stacks::local::layout::Component;
use testkit::{exposition::Samples, otlp::Answer};
use tokio::time::sleep;

use crate::faults::scene::Scene;

/// From the end of the fault until no span waits.
const MAX_DELIVERY: Duration = Duration::from_secs(45);
const PAUSE: Duration = Duration::from_millis(200);

/// The receiver refuses, hangs and is gone, one after the other. Afterwards every span must arrive.
pub(super) async fn disturb_receiver(scene: &mut Scene<'_>) -> Result<()> {
    let before = counts(scene).await?;
    scene.system.telemetry.always(Answer::Refuse(503));
    scene.wait(1000..1500).await;
    scene.system.telemetry.always(Answer::Hang);
    scene.wait(1500..2000).await;
    scene.system.telemetry.close();
    scene.wait(1000..1500).await;
    scene.system.telemetry.always(Answer::Accept);
    scene.system.telemetry.open();
    let after = delivered(scene, &before).await?;
    if after.dropped > before.dropped {
        let violation = format!("the receiver was away for seconds: {before:?} became {after:?}");
        scene.system.bad_endings.push(violation);
    }
    Ok(())
}

/// While the receiver is gone, the files that wait for it are truncated, overwritten and removed. The services live on,
/// and count what they could not read.
pub(super) async fn damage_spool(scene: &mut Scene<'_>) -> Result<()> {
    let before = counts(scene).await?;
    scene.system.telemetry.close();
    for damage in [truncate, overwrite, remove] {
        scene.wait(800..1200).await;
        for file in spool_files(scene) {
            damage(&file).with_context(|| format!("cannot damage {}", file.display()))?;
        }
    }
    scene.wait(800..1200).await;
    scene.system.telemetry.open();
    for service in Component::SERVICES {
        if scene.system.stack.process(service).is_none() {
            scene.system.bad_endings.push(format!("{service} ended after its spool was damaged"));
        }
    }
    delivered(scene, &before).await.map(drop)
}

fn truncate(file: &Path) -> std::io::Result<()> {
    fs::File::options().write(true).open(file)?.set_len(0)
}

fn overwrite(file: &Path) -> std::io::Result<()> {
    fs::write(file, [0xA5; 4096])
}

fn remove(file: &Path) -> std::io::Result<()> {
    fs::remove_file(file)
}

/// The files of all spools that hold telemetry.
fn spool_files(scene: &Scene<'_>) -> Vec<PathBuf> {
    let (mut found, mut directories) = (Vec::new(), vec![scene.system.stack.dir().join("var/spool")]);
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
        {
            if path.is_dir() { &mut directories } else { &mut found }.push(path);
        }
    }
    found
}

/// Waits without new orders until no span waits. Notes a violation if some stay, or if the counters do not add up: each
/// span has arrived or is counted as dropped. The receiver may have one twice, for its answer was lost.
async fn delivered(scene: &mut Scene<'_>, before: &Counts) -> Result<Counts> {
    scene.load.hold(true);
    let begun = Instant::now();
    let mut counted = counts(scene).await?;
    while counted.queued > 0 && begun.elapsed() < MAX_DELIVERY {
        sleep(PAUSE).await;
        counted = counts(scene).await?;
    }
    let Counts { recorded, recovered, exported, rejected, dropped, queued, arrived } = counted;
    let adds_up = recorded + recovered == exported + rejected + dropped + queued
        && arrived - before.arrived + dropped - before.dropped >= recorded - before.recorded;
    if queued > 0 || !adds_up {
        let violation = format!("spans are left, or not counted: {before:?} became {counted:?}");
        scene.system.bad_endings.push(violation);
    }
    scene.load.hold(false);
    Ok(counted)
}

/// The counters of spans of all services.
#[derive(Debug, Default)]
struct Counts {
    recorded: u64,
    recovered: u64,
    exported: u64,
    rejected: u64,
    dropped: u64,
    queued: u64,
    /// At the receiver.
    arrived: u64,
}

async fn counts(scene: &Scene<'_>) -> Result<Counts> {
    let (arrived, _) = scene.system.telemetry.counts();
    let mut counts = Counts { arrived, ..Counts::default() };
    for service in Component::SERVICES {
        let samples = Samples::parse(&scene.system.metrics(service).await?).map_err(anyhow::Error::msg)?;
        let sum = |name| samples.sum(name, &[("signal", "traces")]) as u64;
        counts.recorded += sum("telemetry_recorded_total");
        counts.recovered += sum("telemetry_recovered_total");
        counts.exported += sum("telemetry_exported_total");
        counts.rejected += sum("telemetry_rejected_total");
        counts.dropped += sum("telemetry_dropped_total");
        counts.queued += sum("telemetry_queued");
    }
    Ok(counts)
}
