//! A small disk that can be filled, and that hangs on request.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// Bytes: room for both databases with their logs, and little else.
const SIZE: u64 = 48 << 20;

/// A file system in a file, mounted at a directory of its own. Dropping it unmounts it and removes both.
pub(crate) struct SmallDisk {
    directory: PathBuf,
    image: PathBuf,
}

impl SmallDisk {
    /// Makes one and mounts it at a new directory.
    ///
    /// # Errors
    /// When the user is not root, or the machine has no loop devices.
    pub(crate) fn mount(directory: PathBuf) -> Result<Self> {
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let disk = Self { image: directory.with_extension("img"), directory };
        let made = File::create(&disk.image).and_then(|image| image.set_len(SIZE));
        made.with_context(|| format!("cannot make {}", disk.image.display()))?;
        // Without blocks that only root may use: it would find room on a full disk.
        run("mkfs.ext4", ["-q".as_ref(), "-m".as_ref(), "0".as_ref(), disk.image.as_os_str()])?;
        run("mount", ["-o".as_ref(), "loop".as_ref(), disk.image.as_os_str(), disk.directory.as_os_str()])?;
        Ok(disk)
    }

    /// Fills it with one file and returns the path of the file.
    pub(crate) fn fill(&self) -> Result<PathBuf> {
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

    /// From now on each write waits, without an error, until the disk is thawed.
    pub(crate) fn freeze(&self) -> Result<()> {
        run("fsfreeze", ["--freeze".as_ref(), self.directory.as_os_str()])
    }

    /// Lets the writes go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        run("fsfreeze", ["--unfreeze".as_ref(), self.directory.as_os_str()])
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Drop cannot report an error; the mount table shows what is left. One that is frozen can't be unmounted.
        let _ = self.thaw();
        let _ = run("umount", [self.directory.as_os_str()]);
        let _ = fs::remove_dir(&self.directory);
        let _ = fs::remove_file(&self.image);
    }
}

fn run<const N: usize>(program: &str, arguments: [&OsStr; N]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", said.trim());
    Ok(())
}
