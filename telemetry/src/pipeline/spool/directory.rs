//! Where the segments of a spool lie: a directory that one process has at a time.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory, ours for as long as this lives.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// The first of `path`, `path.2`, `path.3` and so on that no other process has.
    pub(super) fn claim(path: &Path) -> io::Result<Self> {
        let mut number = 1;
        loop {
            let place = numbered(path, number);
            // Whoever may read log lines is decided elsewhere.
            DirBuilder::new().recursive(true).mode(0o700).create(&place)?;
            if let Some(directory) = Self::lock(place)? {
                return Ok(directory);
            }
            number += 1;
        }
    }

    /// `None` when another process has it.
    fn lock(path: PathBuf) -> io::Result<Option<Self>> {
        let lock = OpenOptions::new().create(true).append(true).open(path.join("lock"))?;
        Ok(is_ours(&lock)?.then_some(Self { path, _lock: lock }))
    }

    /// Moves what ended processes have left in the places of `path` to this one, behind what is there.
    pub(super) fn inherit(&self, path: &Path) -> io::Result<()> {
        let mut next = self.segments()?.last().map_or(0, |(number, _)| number + 1);
        for place in (1..).map(|number| numbered(path, number)).take_while(|place| place.is_dir()) {
            // Our own is locked, too.
            let Some(left) = Self::lock(place)? else { continue };
            for (_, segment) in left.segments()? {
                fs::rename(segment, self.segment(next))?;
                next += 1;
            }
        }
        Ok(())
    }

    /// The segments that are there and their numbers, oldest first.
    pub(super) fn segments(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|name| name.to_str()?.parse::<u64>().ok());
            segments.extend(number.zip(Some(path)));
        }
        segments.sort_unstable();
        Ok(segments)
    }

    /// The file of a segment.
    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}"))
    }

    /// An empty file for a segment: the spare one, where there is one.
    pub(super) fn create(&self, number: u64) -> io::Result<(PathBuf, File)> {
        let path = self.segment(number);
        let is_new = fs::rename(self.spare(), &path).is_err();
        let file = OpenOptions::new().append(true).create_new(is_new).open(&path)?;
        Ok((path, file))
    }

    /// Empties a file that is not needed any more, and keeps it as the spare one.
    ///
    /// Files that come and go many times a second make a file system slow for everybody: ext4 gives an inode back
    /// five seconds after its file was removed, and until then steps over it whenever it looks for another.
    pub(super) fn retire(&self, path: &Path) -> io::Result<()> {
        OpenOptions::new().write(true).truncate(true).open(path)?;
        fs::rename(path, self.spare())
    }

    fn spare(&self) -> PathBuf {
        self.path.join("spare")
    }
}

/// Locks a file until it is closed; `false` when another process has locked it.
pub(crate) fn is_ours(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The place of the process that comes as this one, from 1.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    match number {
        1 => path.to_owned(),
        _ => path.with_added_extension(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_file_that_was_retired_is_the_next_one_and_empty() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::claim(&place.path().join("spool")).unwrap();
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        let (first, mut file) = directory.create(1).unwrap();
        io::Write::write_all(&mut file, b"taken").unwrap();
        let number = inode(&first);
        directory.retire(&first).unwrap();
        assert!(directory.segments().unwrap().is_empty());
        let (second, _) = directory.create(2).unwrap();
        assert_eq!((inode(&second), fs::read(&second).unwrap()), (number, Vec::new()));
        let (third, _) = directory.create(3).unwrap();
        assert_ne!(inode(&third), number);
        for path in [second, third] {
            directory.retire(&path).unwrap();
        }
        assert!(directory.segments().unwrap().is_empty());
    }
}
