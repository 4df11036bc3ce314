//! The backends' modules against answers of their servers: recorded from a real one, or else written by the
//! documentation.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod documented;
mod recorded;
mod server;

use stacks::trace::{ORDER, Trace};

/// Checks that each span of an order descends from the one before, and that none is an orphan.
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
