//! Databases that can't be written.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::{Command as Blocking, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, Command},
};

use super::Nemesis;
use stacks::local::layout::Component;

/// Room for both databases with their logs, and little else.
const SIZE: &str = "size=48m";

/// A small file system of its own; it is gone when this is dropped.
pub(crate) struct SmallDisk {
    directory: PathBuf,
}

impl Nemesis<'_> {
    pub(super) async fn lock(&mut self, service: Component) -> Result<()> {
        let lock = self.locked(service).await?;
        // Longer than a service waits for a lock.
        self.wait(3000..4000).await;
        let_go(lock).await
    }

    pub(super) async fn lock_and_kill(&mut self) -> Result<()> {
        let lock = self.locked(Component::Mailer).await?;
        self.wait(1000..1500).await;
        self.system.kill(&[Component::Mailer])?;
        let_go(lock).await?;
        self.system.revive(&[Component::Mailer]).await
    }

    /// A process that holds the lock on the database of a service.
    async fn locked(&self, service: Component) -> Result<Child> {
        let file = self.system.stack.dir().join(format!("var/{service}.db"));
        let mut child = Command::new("sqlite3")
            .args(["-cmd", ".timeout 10000"])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run sqlite3; `stacks/local/install sqlite3` installs it")?;
        let (stdin, stdout) = (child.stdin.as_mut(), child.stdout.as_mut());
        let (stdin, stdout) = (stdin.context("no standard input")?, stdout.context("no standard output")?);
        stdin.write_all(b"BEGIN EXCLUSIVE;\nSELECT 'locked';\n").await?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        ensure!(line.trim() == "locked", "sqlite3 did not get the lock of {service}");
        Ok(child)
    }

    /// The databases lie on a [`SmallDisk`] already.
    pub(super) async fn fill_disk(&mut self) -> Result<()> {
        let disk = self.system.small_disk.as_ref().context("the databases are not on a small disk")?;
        let filler = disk.fill()?;
        self.wait(2000..3000).await;
        std::fs::remove_file(filler).context("the disk can't be made free again")
    }
}

async fn let_go(mut lock: Child) -> Result<()> {
    lock.kill().await.context("the lock can't be let go of")
}

impl SmallDisk {
    /// Makes one, in a new directory. Only root may.
    pub(crate) fn mount(directory: PathBuf) -> Result<Self> {
        std::fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let mut mount = Blocking::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&directory);
        let status = mount.status().context("cannot run mount")?;
        ensure!(status.success(), "cannot mount a small file system at {}", directory.display());
        Ok(Self { directory })
    }

    /// Writes a file until nothing fits any more, and tells where it is.
    fn fill(&self) -> Result<PathBuf> {
        let filler = self.directory.join("filler");
        let mut file = File::create(&filler).context("cannot fill the disk")?;
        loop {
            match file.write_all(&[0; 4096]) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(filler),
                Err(error) => return Err(error).context("cannot fill the disk"),
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What can't be unmounted is named by the mount table; there is nobody to tell here.
        let _ = Blocking::new("umount").arg(&self.directory).status();
        let _ = std::fs::remove_dir(&self.directory);
    }
}
