//! The spool of one destination: a queue of segments, each of which becomes one request.
//!
//! A segment is a file, appended to with one `write(2)` for each request of the exporter, so that it survives a kill of
//! the process, and emptied when the receiver has answered. Nothing is synced: a machine that loses power loses what
//! the kernel had not written yet. Without a directory, or while its disk refuses, segments are kept in memory, in a
//! smaller bound. The newest one is kept there in any case: a receiver that is up gets it without a read.

mod directory;
#[cfg(test)]
mod model;
pub(super) mod record;
mod segment;

pub(super) use segment::{Limits, Segment};

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::bytes::Bytes;

use self::directory::Directory;
use self::record::{Record, count, decode};
use super::metrics::{DestinationMetrics, Dropped};
use crate::clock;

/// Receivers refuse requests above some megabytes.
const MAX_SEGMENT: usize = 1 << 20;
/// Bytes that may wait in memory, however few items they are.
const MAX_MEMORY: usize = 32 << 20;

/// The queue; a segment that leaves it by [`take`](Spool::take) counts until it is [removed](Spool::remove).
pub(super) struct Spool {
    directory: Option<Directory>,
    limits: Limits,
    segments: VecDeque<Segment>,
    next: u64,
    bytes: u64,
    in_memory: Load,
    metrics: DestinationMetrics,
}

#[derive(Default)]
struct Load {
    items: u64,
    bytes: usize,
}

/// When there will be something to send.
pub(super) enum Next {
    Now(Segment),
    In(Duration),
    Never,
}

impl Spool {
    /// A queue in memory.
    pub(super) fn in_memory(limits: Limits, metrics: DestinationMetrics) -> Self {
        let segments = VecDeque::new();
        Self { directory: None, limits, segments, next: 0, bytes: 0, in_memory: Load::default(), metrics }
    }

    /// The queue in `path`, or beside it while another process has that, with what ended processes have left in any of
    /// these directories.
    pub(super) fn open(path: PathBuf, limits: Limits, metrics: DestinationMetrics) -> io::Result<Self> {
        let directory = Directory::claim(&path)?;
        directory.inherit(&path)?;
        let left = directory.segments()?;
        let mut spool = Self::in_memory(limits, metrics);
        spool.next = left.last().map_or(0, |(number, _)| number + 1);
        spool.directory = Some(directory);
        for (number, path) in left {
            spool.recover(number, path);
        }
        spool.make_room();
        Ok(spool)
    }

    /// Leaves what can't be read where it is: no file ends the start of a service.
    fn recover(&mut self, number: u64, path: PathBuf) {
        let Ok(bytes) = fs::read(&path) else { return };
        let (records, _) = decode(&bytes);
        let Some(first) = records.first() else {
            self.metrics.damaged.inc_by(bytes.len() as u64);
            // One that can't be removed is counted again by the next start.
            let _ = fs::remove_file(path);
            return;
        };
        let age = clock::now().saturating_sub(Duration::from_millis(first.written));
        let items = count(&records);
        self.metrics.recover(items);
        self.weigh(|total| total + bytes.len() as u64);
        self.segments.push_back(Segment {
            number,
            items,
            is_recovered: true,
            age_when_opened: age,
            opened: Instant::now(),
            is_sealed: true,
            bytes: bytes.len(),
            payloads: Vec::new(),
            file: Some((path, None)),
        });
    }

    /// The number of the oldest segment, or of the next one.
    pub(super) fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.number)
    }

    /// Items that the segment which is being filled still takes, or a new one would.
    pub(super) fn room(&self) -> usize {
        let last = self.segments.back().filter(|last| !last.is_sealed);
        let left = self.limits.batch.saturating_sub(last.map_or(0, |last| last.items));
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    /// Keeps a request of `items` items. True if the delivery has something new to do.
    pub(super) fn append(&mut self, payload: &Bytes, items: u64) -> bool {
        let waited = self.segments.len();
        let Some(length) = self.write(payload, items).or_else(|| self.find_memory(payload, items)) else {
            self.metrics.drop(items, Dropped::QueueFull);
            return false;
        };
        let Some(last) = self.segments.back_mut() else { return false };
        last.payloads.push(payload.clone());
        last.items += items;
        last.bytes += length;
        if last.is_on_disk() {
            self.weigh(|total| total + length as u64);
        } else {
            self.in_memory.items += items;
            self.in_memory.bytes += length;
        }
        self.make_room();
        let is_full = self
            .segments
            .back()
            .is_some_and(|last| last.items >= self.limits.batch || last.bytes >= MAX_SEGMENT);
        if is_full {
            self.seal();
        }
        is_full || self.segments.len() != waited
    }

    /// Writes a request to the newest segment on disk, or to a new one. Gives the bytes that it takes.
    fn write(&mut self, payload: &Bytes, items: u64) -> Option<usize> {
        let directory = self.directory.as_ref()?;
        let written = u64::try_from(clock::now().as_millis()).ok()?;
        let record = Record { items, written, payload }.encode()?;
        if !self.segments.back().is_some_and(|last| last.has_room(items, self.limits) && last.is_on_disk()) {
            let (path, file) = directory.create(self.next).ok()?;
            self.begin(Some((path, Some(file))));
        }
        let last = self.segments.back_mut()?;
        let Some((_, Some(file))) = &mut last.file else { return None };
        if file.write_all(&record).is_err() {
            // The disk is full, most of all. The part of the record that was written would be counted as damage.
            let _ = file.set_len(last.bytes as u64);
            last.is_sealed = true;
            if last.items == 0
                && let Some(Segment { file: Some((path, _)), .. }) = self.segments.pop_back()
            {
                let _ = fs::remove_file(path);
            }
            return None;
        }
        Some(record.len())
    }

    /// Makes the newest segment one in memory with room for a request. Gives the bytes that it takes.
    fn find_memory(&mut self, payload: &Bytes, items: u64) -> Option<usize> {
        if self.in_memory.items >= self.limits.memory || self.in_memory.bytes >= MAX_MEMORY {
            return None;
        }
        if !self.segments.back().is_some_and(|last| last.has_room(items, self.limits) && !last.is_on_disk()) {
            self.begin(None);
        }
        Some(payload.len())
    }

    fn begin(&mut self, file: Option<(PathBuf, Option<File>)>) {
        self.seal();
        if let Some(last) = self.segments.back_mut().filter(|last| last.is_on_disk()) {
            last.payloads = Vec::new();
        }
        self.segments.push_back(Segment {
            number: self.next,
            items: 0,
            is_recovered: false,
            age_when_opened: Duration::ZERO,
            opened: Instant::now(),
            is_sealed: false,
            bytes: 0,
            payloads: Vec::new(),
            file,
        });
        self.next += 1;
    }

    /// Ends the newest segment, and gives the number of the next one.
    pub(super) fn seal(&mut self) -> u64 {
        if let Some(last) = self.segments.back_mut() {
            last.is_sealed = true;
        }
        self.next
    }

    fn make_room(&mut self) {
        while self.bytes > self.limits.bytes
            && let Some(oldest) = self.segments.pop_front_if(|oldest| oldest.is_sealed)
        {
            self.metrics.drop(oldest.items, Dropped::SpoolFull);
            self.remove(oldest);
        }
    }

    /// The oldest segment, once it is full or as old as `delay`. It has to be [removed](Self::remove).
    pub(super) fn take(&mut self, delay: Duration) -> Next {
        let Some(oldest) = self.segments.front() else { return Next::Never };
        let left = delay.saturating_sub(oldest.opened.elapsed());
        if !oldest.is_sealed && !left.is_zero() {
            return Next::In(left);
        }
        self.segments.pop_front().map_or(Next::Never, Next::Now)
    }

    /// Whether more is due already.
    pub(super) fn has_sealed(&self) -> bool {
        self.segments.front().is_some_and(|oldest| oldest.is_sealed)
    }

    /// The requests of a segment as one. What can't be read any more is counted as damaged.
    pub(super) fn read(&self, segment: &mut Segment) -> Bytes {
        let payloads = mem::take(&mut segment.payloads);
        let path = match &segment.file {
            Some((path, _)) if payloads.is_empty() => path,
            // One protobuf message after the other is their union.
            _ => return payloads.concat().into(),
        };
        let bytes = fs::read(path).unwrap_or_default();
        let (records, lost) = decode(&bytes);
        let items = count(&records);
        self.metrics.damaged.inc_by(lost as u64);
        self.metrics.drop(segment.items.saturating_sub(items), Dropped::Damaged);
        segment.items = items.min(segment.items);
        records.iter().map(|record| record.payload).collect::<Vec<_>>().concat().into()
    }

    /// Whether it is too old to be worth sending.
    pub(super) fn has_expired(&self, segment: &Segment) -> bool {
        segment.age_when_opened + segment.opened.elapsed() > self.limits.age
    }

    /// Removes a segment that was taken.
    pub(super) fn remove(&mut self, segment: Segment) {
        let Some((path, _)) = segment.file else {
            self.in_memory.items = self.in_memory.items.saturating_sub(segment.items);
            self.in_memory.bytes = self.in_memory.bytes.saturating_sub(segment.bytes);
            return;
        };
        if let Some(directory) = &self.directory {
            // One that can't be emptied is sent again by the next process: twice is better than never.
            let _ = directory.retire(&path);
        }
        self.weigh(|total| total.saturating_sub(segment.bytes as u64));
    }

    fn weigh(&mut self, change: impl FnOnce(u64) -> u64) {
        self.bytes = change(self.bytes);
        self.metrics.spool_bytes.set(i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}
