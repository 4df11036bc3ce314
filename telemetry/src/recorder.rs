//! The flight recorder: what was handed over within the last moments, in memory that outlives the process.
//!
//! ```text
//!  file:  front │ half │ half      one half is filled while what is in the other is put in a safer place
//! ```
//!
//! The memory is a mapped file. What is copied there has reached the kernel: a process that is killed loses none of
//! it, and no system call is made. Nothing is synced, so that a machine that loses power loses it.

#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::mem;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use memmap2::{MmapMut, MmapOptions};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::pipeline::{Record, decode, is_ours, numbered, payloads};

/// What comes within this time is taken together, so that one wake-up and one system call serve for all of it.
const GROUP: Duration = Duration::from_millis(50);
/// Bytes for each item that may wait; most are shorter, and few wait.
const ITEM: usize = 256;
const SMALLEST_HALF: usize = 64 * 1024;
/// The front and the halves take a multiple of this.
const PAGE: usize = 4096;
/// The first bytes of the front: the number of the first item that is not forgotten, little-endian.
const KEPT_FROM: usize = size_of::<u64>();

/// Items on their way to one thread, from any number of others.
#[derive(Debug)]
pub(crate) struct Recorder {
    memory: Mutex<Memory>,
    most: usize,
    has_some: Notify,
    is_half_full: Notify,
}

#[derive(Debug)]
struct Memory {
    /// What is not an item: which of them are forgotten, and what is told about them.
    front: MmapMut,
    /// The half that is being filled.
    filling: MmapMut,
    /// The other one, unless it is taken.
    other: Option<MmapMut>,
    /// Bytes and items in the one that is being filled.
    filled: usize,
    items: usize,
    /// Items that were ever recorded.
    written: u64,
    _lock: Option<File>,
}

/// What a process that was killed had recorded last.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// What the recorder was told about them.
    pub(crate) about: Vec<u8>,
    /// The items, the oldest first.
    pub(crate) items: Vec<Vec<u8>>,
}

/// Why [`Recorder::gather`] has returned.
pub(crate) enum Gathered<F> {
    /// There is something to take.
    Some,
    /// Somebody wants to know when all of it is gone.
    Flush(F),
    /// Nobody is left who could record.
    Ended,
}

impl Recorder {
    /// A recorder of at most `most` items that ends with the process.
    pub(crate) fn in_memory(most: usize) -> io::Result<Self> {
        let half = half(most);
        let [front, filling, other] =
            [MmapMut::map_anon(PAGE)?, MmapMut::map_anon(half)?, MmapMut::map_anon(half)?];
        Ok(Self::with(front, [filling, other], most, None))
    }

    /// A recorder in the first of the files `path`, `path.2`, `path.3` and so on that no other process has.
    ///
    /// What ended processes have left in any of them is handed to `rescue` and then forgotten; `about` is for
    /// whoever rescues what this one leaves. In memory where the disk has no room.
    pub(crate) fn open(
        path: &Path,
        most: usize,
        about: &[u8],
        mut rescue: impl FnMut(Left),
    ) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let mut ours = None;
        for number in 1.. {
            let place = numbered(path, number);
            if ours.is_some() && !place.exists() {
                break;
            }
            let Some(mut file) = lock(&place)? else { continue };
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let left = Left::read(&bytes);
            if !left.items.is_empty() {
                rescue(left);
            }
            file.set_len(0)?;
            ours.get_or_insert(file);
        }
        let file = ours.ok_or(io::ErrorKind::AlreadyExists)?;
        let about = Record { items: 0, written: 0, payload: about }.encode().unwrap_or_default();
        let (front, half) = ((KEPT_FROM + about.len()).next_multiple_of(PAGE), half(most));
        let length = front + 2 * half;
        // A page that has no room on the disk when it is touched would end the process. A disk that is full, or can't
        // promise room, costs what a kill takes, and not the start.
        if rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length as u64).is_err() {
            return Self::in_memory(most);
        }
        let halves = [map(&file, front, half)?, map(&file, front + half, half)?];
        let mut front = map(&file, 0, front)?;
        front[KEPT_FROM..][..about.len()].copy_from_slice(&about);
        Ok(Self::with(front, halves, most, Some(file)))
    }

    fn with(front: MmapMut, [filling, other]: [MmapMut; 2], most: usize, lock: Option<File>) -> Self {
        let other = Some(other);
        let memory = Memory { front, filling, other, filled: 0, items: 0, written: 0, _lock: lock };
        Self { memory: Mutex::new(memory), most, has_some: Notify::new(), is_half_full: Notify::new() }
    }

    /// Copies an item. Never waits; `false` says that there was no room.
    pub(crate) fn record(&self, payload: &[u8]) -> bool {
        let mut memory = self.lock();
        let Some(header) = (Record { items: 1, written: memory.written, payload }).header() else {
            return false;
        };
        let (before, length) = (memory.filled, header.len() + payload.len());
        if memory.items >= self.most {
            return false;
        }
        let Some(place) = memory.filling[before..].get_mut(..length) else { return false };
        place[..header.len()].copy_from_slice(&header);
        place[header.len()..].copy_from_slice(payload);
        memory.filled += length;
        memory.items += 1;
        memory.written += 1;
        let passes = |bound: usize| before < bound && memory.filled >= bound;
        let is_half_full = passes(memory.filling.len() / 2) || memory.items == self.most.div_ceil(2);
        drop(memory);
        if before == 0 {
            self.has_some.notify_one();
        }
        if is_half_full {
            self.is_half_full.notify_one();
        }
        true
    }

    /// Waits for something to take, and for a moment longer for what comes with it.
    pub(crate) async fn gather<F>(&self, flushes: &mut mpsc::UnboundedReceiver<F>) -> Gathered<F> {
        let group = async {
            self.has_some.notified().await;
            // Either way it is time.
            let _ = timeout(GROUP, self.is_half_full.notified()).await;
        };
        tokio::select! {
            flush = flushes.recv() => flush.map_or(Gathered::Ended, Gathered::Flush),
            () = group => Gathered::Some,
        }
    }

    /// What is there, the oldest first, or nothing while an earlier [`Taken`] lives. It stays in the recorder until it
    /// is forgotten.
    pub(crate) fn take(&self) -> Taken<'_> {
        let mut memory = self.lock();
        let half = memory.other.take().map(|other| {
            memory.items = 0;
            (mem::replace(&mut memory.filling, other), mem::take(&mut memory.filled))
        });
        Taken { recorder: self, half, next: memory.written }
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Items that are forgotten when this is dropped.
pub(crate) struct Taken<'a> {
    recorder: &'a Recorder,
    /// The half in which they are, and how many bytes they have there.
    half: Option<(MmapMut, usize)>,
    /// The number of the first item after these.
    next: u64,
}

impl Taken<'_> {
    /// The items, the oldest first.
    pub(crate) fn items(&self) -> Vec<&[u8]> {
        self.half.as_ref().map_or_else(Vec::new, |(half, length)| payloads(&half[..*length]).collect())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let Some((half, _)) = self.half.take() else { return };
        let mut memory = self.recorder.lock();
        memory.other = Some(half);
        // In place of emptying the half, which would cost as much as to fill it.
        memory.front[..KEPT_FROM].copy_from_slice(&self.next.to_le_bytes());
    }
}

impl Left {
    fn read(bytes: &[u8]) -> Self {
        let Some((kept_from, records)) = bytes.split_first_chunk() else { return Self::default() };
        let kept_from = u64::from_le_bytes(*kept_from);
        let (mut records, _) = decode(records);
        // Either half may be the older one.
        records.sort_by_key(|record| record.written);
        let (about, mut items): (Vec<_>, Vec<_>) = records.into_iter().partition(|record| record.items == 0);
        items.retain(|item| item.written >= kept_from);
        let about = about.first().map(|record| record.payload.to_vec()).unwrap_or_default();
        Self { about, items: items.into_iter().map(|record| record.payload.to_vec()).collect() }
    }
}

fn half(most: usize) -> usize {
    most.saturating_mul(ITEM).max(SMALLEST_HALF).next_multiple_of(PAGE)
}

/// `None` when another process has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    Ok(is_ours(&file)?.then_some(file))
}

#[expect(unsafe_code, reason = "a file can be mapped in no other way")]
fn map(file: &File, at: usize, length: usize) -> io::Result<MmapMut> {
    // SAFETY: the file must not change behind the map. It is ours: locked, in a place where no other program has
    // a reason to write, and none of our processes shortens a file that it could not lock.
    unsafe { MmapOptions::new().offset(at as u64).len(length).map_mut(file) }
}
