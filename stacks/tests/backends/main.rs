//! Each backend's module against what its server says: recorded from real ones, and where there was none, written as
//! documented.

#![expect(clippy::unwrap_used, reason = "all of this crate is a test")]

mod documented;
mod recorded;
mod server;

use stacks::trace::{ORDER, Trace};

/// The spans of an order, each below the one before, and nothing astray.
fn assert_whole(trace: &Trace) {
    assert!(trace.missing().is_empty(), "{:?} are missing in {trace:#?}", trace.missing());
    let path = ORDER.map(|named| trace.find(named).unwrap());
    assert_eq!(path[0].parent, None);
    for pair in path.windows(2) {
        assert!(trace.descends(pair[1], pair[0]), "`{}` is not below `{}`", pair[1].name, pair[0].name);
    }
    assert_eq!(trace.orphans().count(), 0);
    assert!(trace.spans.iter().all(|span| span.error.is_none() && !span.duration.is_zero()), "{trace:#?}");
    assert!(trace.spans.is_sorted_by_key(|span| span.start));
}
