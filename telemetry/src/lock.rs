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

/// What `open` gives for the first number from 1 that it does not refuse, and whose file no other process has.
pub(crate) fn claim<T>(open: impl Fn(u32) -> io::Result<Option<T>>) -> io::Result<T> {
    let mut refused = None;
    for number in 1..=MAX_PROCESSES {
        match open(number) {
            Ok(Some(claimed)) => return Ok(claimed),
            Ok(None) => {}
            // Another program may have put something else in its place.
            Err(error) => drop(refused.get_or_insert(error)),
        }
    }
    Err(refused.unwrap_or_else(|| io::ErrorKind::AlreadyExists.into()))
}

/// The path of the process with this number, from 1: `path`, `path.2`, `path.3` and so on.
pub(crate) fn numbered(path: &Path, number: u32) -> PathBuf {
    match number {
        1 => path.to_owned(),
        _ => path.with_added_extension(number.to_string()),
    }
}
