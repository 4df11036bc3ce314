//! The spans of this process that are under way, and which of them is current on each thread.
//!
//! The registry of `tracing-subscriber` serves layers of any kind, each with data of its own. Here is one kind alone:
//! to enter a span is a push to a list of this thread, and to look at it takes one lock that hardly anybody else wants
//! at that moment. It belongs to the process and not to a subscriber, so that the current span is known even while the
//! subscriber is at work, which asks for it whenever a library logs.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tracing::Metadata;
use tracing::span::Id;

use super::recording::Recording;

/// Threads that open spans have one each, as long as there are no more of them than that.
const SHARDS: usize = 16;
/// No place in a shard has this number.
const UNRECORDED: u64 = u64::MAX;

static OPEN: [Shard; SHARDS] = [const { Shard(Mutex::new(Slab::new())) }; SHARDS];
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OURS: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    /// The last one is current.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// In a cache line of its own: two threads that open spans have nothing in common.
#[repr(align(64))]
struct Shard(Mutex<Slab<Open>>);

struct Open {
    recording: Recording,
    metadata: &'static Metadata<'static>,
    /// How many hold it. Its children do not: they have taken along what they need of it.
    handles: usize,
}

/// Begins to keep a span, with one handle.
pub(super) fn open(recording: Recording, metadata: &'static Metadata<'static>) -> Id {
    // A thread that ends has no place of its own any more.
    let shard = OURS.try_with(|shard| *shard).unwrap_or_default();
    let place = lock(shard).insert(Open { recording, metadata, handles: 1 });
    Id::from_u64((place * SHARDS + shard) as u64 + 1)
}

/// The id of every span that nobody records.
pub(super) fn unrecorded() -> Id {
    Id::from_u64(UNRECORDED)
}

/// Asks a span; `None` where nobody records it. Whoever asks must not trace or log: the span is locked.
pub(super) fn with<T>(id: &Id, ask: impl FnOnce(&mut Recording) -> T) -> Option<T> {
    look(id, |open| ask(&mut open.recording))
}

/// Where a span comes from.
pub(super) fn metadata(id: &Id) -> Option<&'static Metadata<'static>> {
    look(id, |open| open.metadata)
}

/// One more handle.
pub(super) fn share(id: &Id) {
    look(id, |open| open.handles += 1);
}

/// One handle less. The last one gives back what was recorded.
pub(super) fn release(id: &Id) -> Option<Recording> {
    let (shard, place) = place(id);
    let mut shard = lock(shard);
    let open = shard.get_mut(place)?;
    open.handles -= 1;
    (open.handles == 0).then(|| shard.remove(place).recording)
}

/// Makes a span current on this thread.
pub(super) fn enter(id: &Id) {
    // A thread that ends has no current span.
    let _ = ENTERED.try_with(|entered| entered.borrow_mut().push(id.into_u64()));
}

/// The span that was current before is it again.
pub(super) fn exit(id: &Id) {
    let _ = ENTERED.try_with(|entered| {
        let mut entered = entered.borrow_mut();
        // Guards can be dropped in another order than that in which they were made.
        if let Some(at) = entered.iter().rposition(|other| *other == id.into_u64()) {
            entered.remove(at);
        }
    });
}

/// The span that is current on this thread.
pub(super) fn current() -> Option<Id> {
    ENTERED.try_with(|entered| entered.borrow().last().copied()).ok().flatten().map(Id::from_u64)
}

fn look<T>(id: &Id, ask: impl FnOnce(&mut Open) -> T) -> Option<T> {
    let (shard, place) = place(id);
    lock(shard).get_mut(place).map(ask)
}

fn place(id: &Id) -> (usize, usize) {
    let number = usize::try_from(id.into_u64() - 1).unwrap_or(usize::MAX);
    (number % SHARDS, number / SHARDS)
}

fn lock(shard: usize) -> MutexGuard<'static, Slab<Open>> {
    OPEN[shard].0.lock().unwrap_or_else(PoisonError::into_inner)
}
