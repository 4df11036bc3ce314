//! The spans of this process that are under way, and which of them is current on each thread.
//!
//! The registry of `tracing-subscriber` serves layers of any kind, each with data of its own. Here is one kind alone:
//! to enter a span is a push to a list of this thread, and to look at it takes one lock that hardly anybody else wants
//! at that moment. It belongs to the process and not to a subscriber, so that a test's own subscriber knows the current
//! span even while it is at work: `tracing` would not tell which subscriber that is.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slab::Slab;
use tracing::Metadata;
use tracing::span::Id;

use super::recording::Recording;

/// Threads get one in turn when they open their first span.
const SHARDS: usize = 16;
/// Bits of an id that say where the span is; those above them tell it from the one that was there before.
const PLACE_BITS: u32 = 32;
/// Nothing has this place.
const UNRECORDED: u64 = u64::MAX;

static OPEN: [Shard; SHARDS] = [const { Shard(Mutex::new(Kept { spans: Slab::new(), opened: 0 })) }; SHARDS];
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OURS: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    /// The last one is current.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// In a cache line of its own: two threads that open spans have nothing in common.
#[repr(align(64))]
struct Shard(Mutex<Kept>);

struct Kept {
    spans: Slab<Open>,
    /// How many there ever were.
    opened: u32,
}

struct Open {
    id: u64,
    recording: Recording,
    metadata: &'static Metadata<'static>,
    /// How many hold it. Its children do not: they have taken along what they need of it.
    handles: usize,
}

/// Begins to keep a span, with one handle.
pub(super) fn open(recording: Recording, metadata: &'static Metadata<'static>) -> Id {
    let shard = OURS.with(|shard| *shard);
    let mut kept = lock(shard);
    kept.opened = kept.opened.wrapping_add(1);
    let opened = u64::from(kept.opened);
    let entry = kept.spans.vacant_entry();
    let id = opened << PLACE_BITS | ((entry.key() * SHARDS + shard) as u64 + 1);
    entry.insert(Open { id, recording, metadata, handles: 1 });
    Id::from_u64(id)
}

/// The id of every span that nobody records.
pub(super) fn unrecorded() -> Id {
    Id::from_u64(UNRECORDED)
}

/// Whether this is the id of such a span.
pub(super) fn is_unrecorded(id: &Id) -> bool {
    id.into_u64() == UNRECORDED
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
    let mut kept = lock(shard);
    let open = kept.find(place, id)?;
    open.handles -= 1;
    (open.handles == 0).then(|| kept.spans.remove(place).recording)
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

/// Does `work` within a span, and leaves it even if that panics.
pub(super) fn within(id: &Id, work: impl FnOnce()) {
    struct Entered<'a>(&'a Id);
    impl Drop for Entered<'_> {
        fn drop(&mut self) {
            exit(self.0);
        }
    }
    enter(id);
    let _entered = Entered(id);
    work();
}

/// The span that is current on this thread.
pub(super) fn current() -> Option<Id> {
    ENTERED.try_with(|entered| entered.borrow().last().copied()).ok().flatten().map(Id::from_u64)
}

fn look<T>(id: &Id, ask: impl FnOnce(&mut Open) -> T) -> Option<T> {
    let (shard, place) = place(id);
    lock(shard).find(place, id).map(ask)
}

fn place(id: &Id) -> (usize, usize) {
    // That of another subscriber can have any bits: no span here has all of them.
    let number = ((id.into_u64() & (u64::MAX >> PLACE_BITS)) as usize).wrapping_sub(1);
    (number % SHARDS, number / SHARDS)
}

fn lock(shard: usize) -> MutexGuard<'static, Kept> {
    OPEN[shard].0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Kept {
    /// `None` where another one has the place by now: an id can outlive its span.
    fn find(&mut self, place: usize, id: &Id) -> Option<&mut Open> {
        self.spans.get_mut(place).filter(|open| open.id == id.into_u64())
    }
}
