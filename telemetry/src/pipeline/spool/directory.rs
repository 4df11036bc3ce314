//! The directory of a spool's segments, which one process has at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::lock::{MAX_PROCESSES, claim, numbered, try_lock};

/// A file name of a larger number is none of ours: it would leave no numbers for later segments.
const MAX_NUMBER: u64 = u64::MAX / 2;

/// The directory, locked for as long as this lives.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// The first of `path`, `path.2`, `path.3` and so on that can be used, and that no other process has.
    pub(super) fn claim(path: &Path) -> io::Result<Self> {
        claim(|number| Self::make(numbered(path, number)))
    }

    fn make(path: PathBuf) -> io::Result<Option<Self>> {
        // Spool files are for their owner; log/file.rs leaves the mode of log files to the umask.
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Self::lock(path)
    }

    /// `None` when another process has it.
    fn lock(path: PathBuf) -> io::Result<Option<Self>> {
        let lock = OpenOptions::new().create(true).append(true).open(path.join("lock"))?;
        Ok(try_lock(&lock)?.then_some(Self { path, _lock: lock }))
    }

    /// Moves the segments that ended processes have left beside `path` to this directory, behind its own. Leaves what
    /// can't be read or moved.
    pub(super) fn inherit(&self, path: &Path) -> io::Result<()> {
        let mut next = self.segments()?.last().map_or(0, |(number, _)| number + 1);
        let directories = (1..=MAX_PROCESSES).map(|number| numbered(path, number));
        for directory in directories.take_while(|directory| directory.exists()) {
            // Our own is locked, too.
            let Ok(Some(left)) = Self::lock(directory) else { continue };
            for (_, segment) in left.segments().unwrap_or_default() {
                if fs::rename(segment, self.segment(next)).is_ok() {
                    next += 1;
                }
            }
        }
        Ok(())
    }

    /// The segments and their numbers, oldest first.
    pub(super) fn segments(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.parse::<u64>().ok());
            let number = number.filter(|number| *number <= MAX_NUMBER);
            segments.extend(number.zip(Some(path)));
        }
        segments.sort_unstable();
        Ok(segments)
    }

    /// The file of a segment.
    fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}"))
    }

    /// An empty file for a segment: the spare one, if there is one.
    pub(super) fn create(&self, number: u64) -> io::Result<(PathBuf, File)> {
        let path = self.segment(number);
        let is_new = fs::rename(self.spare(), &path).is_err();
        let file = OpenOptions::new().append(true).create_new(is_new).open(&path)?;
        Ok((path, file))
    }

    /// Empties a file that is not needed any more, and keeps it as the spare one.
    ///
    /// Files that come and go many times a second make a file system slow: ext4 gives an inode back five seconds after
    /// its file was removed, and until then steps over it at each search for a free one.
    pub(super) fn retire(&self, path: &Path) -> io::Result<()> {
        OpenOptions::new().write(true).truncate(true).open(path)?;
        fs::rename(path, self.spare())
    }

    fn spare(&self) -> PathBuf {
        self.path.join("spare")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_retired_file_is_the_next_one_and_empty() {
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

    #[test]
    fn a_path_that_is_no_directory_is_passed_over() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("spool");
        fs::write(&path, "not a directory").unwrap();
        fs::create_dir_all(place.path().join("spool.2").join("lock")).unwrap();
        assert_eq!(Directory::claim(&path).unwrap().path, place.path().join("spool.3"));
        let below = path.join("below");
        assert!(Directory::claim(&below).is_err());
    }

    #[test]
    fn a_number_that_leaves_none_for_others_is_no_segment() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::claim(place.path()).unwrap();
        fs::write(place.path().join(u64::MAX.to_string()), "").unwrap();
        fs::write(place.path().join("7"), "").unwrap();
        let numbers: Vec<_> = directory.segments().unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [7]);
    }
}
