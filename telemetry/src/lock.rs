//! Files that one process has at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// Processes of one name that may share a directory.
pub(crate) const MAX_PROCESSES: u32 = 1000;

/// Locks a file until it is closed; `false` when another process has locked it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The path of the process with this number, from 1: `path`, `path.2`, `path.3` and so on.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    match number {
        1 => path.to_owned(),
        _ => path.with_added_extension(number.to_string()),
    }
}
