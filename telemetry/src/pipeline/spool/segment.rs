//! A segment: the requests that become one, on disk or in memory.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::bytes::Bytes;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Items in one request.
    pub(crate) batch: u64,
    /// Items in memory, for want of a disk.
    pub(crate) memory: u64,
    /// Bytes on disk.
    pub(crate) bytes: u64,
    /// The age at which a segment is dropped.
    pub(crate) age: Duration,
}

/// A file of requests, or what stands for it in memory.
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) items: u64,
    /// Whether an earlier process has left it.
    pub(crate) is_recovered: bool,
    /// Its age when this process opened it, by the system's clock: zero for one of its own.
    pub(super) age_when_opened: Duration,
    /// Monotonic, so that a step of the system's clock changes no age.
    pub(super) opened: Instant,
    pub(super) is_sealed: bool,
    pub(super) bytes: usize,
    /// The requests in it; empty if they are on disk alone.
    pub(super) payloads: Vec<Bytes>,
    /// Its file and, while it is filled, a handle of that; `None` keeps it in memory.
    pub(super) file: Option<(PathBuf, Option<File>)>,
}

impl Segment {
    pub(super) fn has_room(&self, items: u64, limits: Limits) -> bool {
        !self.is_sealed && self.items + items <= limits.batch
    }

    pub(super) fn is_on_disk(&self) -> bool {
        self.file.is_some()
    }
}
