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
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
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
    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}"))
    }
}

/// The place of the process that comes as this one, from 1.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    match number {
        1 => path.to_owned(),
        _ => path.with_added_extension(number.to_string()),
    }
}
