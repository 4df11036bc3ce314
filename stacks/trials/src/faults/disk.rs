//! A small file system that can be filled.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// Room for both databases with their logs, and little else.
const SIZE: &str = "size=48m";

/// A small file system in a directory of its own. Dropping it unmounts it and removes the directory.
pub(crate) struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts one in a new directory.
    ///
    /// # Errors
    /// When the user is not root.
    pub(crate) fn mount(directory: PathBuf) -> Result<Self> {
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "tmpfs"]).arg(&directory);
        let status = mount.status().context("cannot run mount")?;
        ensure!(status.success(), "cannot mount a small file system at {}", directory.display());
        Ok(Self { directory })
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
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Drop cannot report an error; the mount table shows what is left.
        let _ = Command::new("umount").arg(&self.directory).status();
        let _ = fs::remove_dir(&self.directory);
    }
}
