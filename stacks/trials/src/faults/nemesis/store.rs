//! Faults of the databases.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use stacks::local::layout::Component;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
    task::block_in_place,
};

use super::readiness::expect_unready;
use crate::faults::{databases::Databases, disk::SmallDisk, replica::Replica, scene::Scene};

/// How long a second process may take until it is refused.
const MAX_REFUSAL: Duration = Duration::from_secs(10);
/// What it must say.
const REFUSAL: &str = "another process uses the database file";
const MISSING: &str = "cannot run sqlite3; install it with `stacks/local/install sqlite3`";

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
    let filler = disk(scene)?.fill()?;
    scene.wait(2000..3000).await;
    fs::remove_file(filler).context("cannot free the disk")
}

fn disk<'a>(scene: &'a Scene<'_>) -> Result<&'a SmallDisk> {
    match &scene.system.databases {
        Databases::SmallDisk(disk) => Ok(disk),
        _ => bail!("the databases are not on a small disk"),
    }
}

/// Lets each write to the disk of the databases wait. A service that can't write must say so.
pub(super) async fn hang_disk(scene: &mut Scene<'_>) -> Result<()> {
    disk(scene)?.freeze()?;
    let noticed = expect_unready(scene, &[Component::Payment, Component::Mailer], "its disk hangs").await;
    disk(scene)?.thaw()?;
    noticed
}

/// Starts a second process of a service on its database file. One that is not refused with the reason is a violation.
pub(super) async fn start_second(scene: &mut Scene<'_>, service: Component) -> Result<()> {
    let stack = &scene.system.stack;
    let taken = stack.layout().listens(service)[0].0;
    let errors = stack.log_dir().join(format!("second-{service}.err"));
    for address in [None, Some(taken)] {
        let mut second = Replica::start(&scene.system.stack, service, address, &[])?;
        let code = block_in_place(|| second.exit_code(MAX_REFUSAL));
        let said = fs::read_to_string(&errors).unwrap_or_default();
        if code.is_none_or(|code| code == 0) || !said.contains(REFUSAL) {
            let violation = format!("a second {service} was not refused: exit code {code:?}, `{said}`");
            scene.system.bad_endings.push(violation);
        }
        drop(second);
        // Its last words of this time are read.
        fs::remove_file(&errors).with_context(|| format!("cannot remove {}", errors.display()))?;
        scene.wait(300..600).await;
    }
    Ok(())
}

/// Runs a statement on the database file of a service, as a tool of an operator does; returns the rows as texts.
pub(super) async fn run(scene: &Scene<'_>, service: Component, statement: &str) -> Result<String> {
    let file = scene.system.stack.dir().join(format!("var/{service}.db"));
    let output = sqlite3().arg(file).arg(statement).output().await.context(MISSING)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "sqlite3 cannot run `{statement}`: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn sqlite3() -> Command {
    let mut command = Command::new("sqlite3");
    command.args(["-cmd", ".timeout 10000"]);
    command
}

/// Starts a process that holds the lock on the database of a service.
async fn acquire(scene: &Scene<'_>, service: Component) -> Result<Child> {
    let file = scene.system.stack.dir().join(format!("var/{service}.db"));
    let mut child = sqlite3()
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context(MISSING)?;
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
