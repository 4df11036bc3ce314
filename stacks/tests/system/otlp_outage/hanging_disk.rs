//! A disk that hangs under the spool and the log files of every service: no order waits for it, and nothing is lost.
//!
//! The disk is a file with ext4, which `fsfreeze` stops: a write does not return, and its thread cannot be killed. That
//! needs root and a loop device; without them the test says so and passes.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use stacks::local::layout::Component::Gateway;
use tempfile::TempDir;
use testkit::otlp::OtlpSink;
use tokio::time::sleep;

use super::{Latencies, Load, Received, SERVICES, drained, window};
use crate::harness::System;

const BYTES: u64 = 64 << 20;
const PHASE: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;

/// A mounted file. Dropping it unmounts it.
struct Disk {
    dir: TempDir,
}

/// A disk that hangs until this is dropped.
struct Frozen<'a>(&'a Disk);

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{program}: {}", said.trim()))
}

impl Disk {
    fn mount() -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).and_then(|file| file.set_len(BYTES)).unwrap();
        fs::create_dir(dir.path().join("disk")).unwrap();
        let disk = Self { dir };
        let image = image.to_str().unwrap();
        run("mkfs.ext4", &["-q", "-F", image])?;
        run("mount", &["-o", "loop", image, disk.path().to_str().unwrap()])?;
        // One that cannot be frozen is of no use.
        disk.freeze().map(drop)?;
        Ok(disk)
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    fn freeze(&self) -> Result<Frozen<'_>, String> {
        run("fsfreeze", &["--freeze", self.path().to_str().unwrap()])?;
        Ok(Frozen(self))
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        // Nothing on it could be stopped otherwise.
        run("fsfreeze", &["--unfreeze", self.0.path().to_str().unwrap()]).expect("a disk that stays frozen");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // An error means that it was not mounted.
        let _ = run("umount", &["--lazy", self.path().to_str().unwrap()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_holds_up_no_order() {
    let disk = match Disk::mount() {
        Ok(disk) => disk,
        Err(reason) => return eprintln!("SKIPPED: no disk can be frozen here; run it as root: {reason}"),
    };
    let receiver = OtlpSink::start();
    let [spool, logs] = ["spool", "logs"].map(|name| disk.path().join(name).to_str().unwrap().to_owned());
    let system = System::with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url()),
        ("TELEMETRY_SPOOL_DIR", &spool),
        ("LOG_DIR", &logs),
        ("GATEWAY_RATE_LIMIT", "0"),
    ])
    .await;
    let load = Load::start(&system);
    sleep(PHASE / 2).await;
    let (mut working, mut hanging) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        working.push(window(&load, PHASE).await);
        let _frozen = disk.freeze().unwrap();
        let before = receiver.spans().len();
        hanging.push(window(&load, PHASE).await);
        // What was under way may still arrive.
        let after = receiver.spans().len() - before;
        assert!(after < 2_000, "{after} spans have passed a disk that hangs");
    }
    let orders = load.stop().await;
    for order in &orders {
        system.email(&order.order.id).await;
    }
    drained(&system).await;

    let [working, hanging] = [working, hanging].map(|windows| Latencies::within(&orders, &windows));
    for (name, share) in [("median", 0.5), ("p99", 0.01)] {
        let [working, hanging] =
            [&working, &hanging].map(|answers| answers.all_but(share).as_secs_f64() * 1e3);
        eprintln!(
            "{name}: {working:.1} ms, {hanging:.1} ms with a disk that hangs: {:.2}",
            hanging / working
        );
        // An order that waits for the disk waits for the end of the phase.
        assert!(hanging < working * 3.0 + 300.0, "orders wait for the disk");
    }
    eprintln!("from {} and {} orders", working.len(), hanging.len());
    let received = Received::by(&receiver);
    for order in &orders {
        assert_eq!(received.missing(&[], &order.order), [] as [&str; 0]);
    }
    for (service, name) in SERVICES {
        let metrics = system.metrics(service).await;
        for lost in ["telemetry_dropped_total", "telemetry_log_lines_dropped_total"] {
            assert_eq!(metrics.sum(lost, &[]), 0.0, "{lost} of {name}");
        }
    }
    assert!(system.metrics(Gateway).await.get("telemetry_log_lines_total{destination=\"file\"}") > 0.0);
}
