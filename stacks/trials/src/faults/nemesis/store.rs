//! Faults of the databases.

use std::{fs, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use stacks::local::layout::Component;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

use crate::faults::scene::Scene;

pub(super) async fn lock(scene: &mut Scene<'_>, service: Component) -> Result<()> {
    let lock = acquire(scene, service).await?;
    // Longer than a service waits for a lock.
    scene.wait(3000..4000).await;
    release(lock).await
}

pub(super) async fn lock_and_kill(scene: &mut Scene<'_>) -> Result<()> {
    let lock = acquire(scene, Component::Mailer).await?;
    scene.wait(1000..1500).await;
    scene.system.kill(&[Component::Mailer])?;
    release(lock).await?;
    scene.system.revive(&[Component::Mailer]).await
}

/// Fills the disk of the databases; they are on a small one already.
pub(super) async fn fill_disk(scene: &mut Scene<'_>) -> Result<()> {
    let disk = scene.system.small_disk.as_ref().context("the databases are not on a small disk")?;
    let filler = disk.fill()?;
    scene.wait(2000..3000).await;
    fs::remove_file(filler).context("cannot free the disk")
}

/// Starts a process that holds the lock on the database of a service.
async fn acquire(scene: &Scene<'_>, service: Component) -> Result<Child> {
    let file = scene.system.stack.dir().join(format!("var/{service}.db"));
    let mut child = Command::new("sqlite3")
        .args(["-cmd", ".timeout 10000"])
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run sqlite3; install it with `stacks/local/install sqlite3`")?;
    let (stdin, stdout) = (child.stdin.as_mut(), child.stdout.as_mut());
    let (stdin, stdout) = (stdin.context("no standard input")?, stdout.context("no standard output")?);
    stdin.write_all(b"BEGIN EXCLUSIVE;\nSELECT 'locked';\n").await?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    ensure!(line.trim() == "locked", "sqlite3 did not get the lock of {service}");
    Ok(child)
}

async fn release(mut lock: Child) -> Result<()> {
    lock.kill().await.context("cannot release the lock")
}
