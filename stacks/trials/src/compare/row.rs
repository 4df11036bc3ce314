//! The measurements of one stack.

use std::time::Duration;

use stacks::stack::Stack;

use super::footprint::Footprint;

/// The measurements of one stack.
pub(super) struct Row {
    pub(super) stack: Stack,
    /// From its start until all of it can be used.
    pub(super) ready: Duration,
    pub(super) before: Footprint,
    /// After the orders.
    pub(super) after: Footprint,
    /// Seconds: from the answer to an order until its trace is found (p95), the same for its log lines, and from the last
    /// order until the counters are right.
    pub(super) visible: [f64; 3],
    /// A trace, the log lines of a trace, and a counter.
    pub(super) answers: [Duration; 3],
}
