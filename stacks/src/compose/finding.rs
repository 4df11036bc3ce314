//! The result of one check of this machine.

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// No problem.
    Good,
    /// A possible problem.
    Doubtful,
    /// The stack cannot start, or will not work.
    Bad,
}

/// The result of one check.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) topic: &'static str,
    /// What was found, and what to do.
    pub(super) text: String,
}

impl Finding {
    pub(super) fn new(level: Level, topic: &'static str, text: impl Into<String>) -> Self {
        Self { level, topic, text: text.into() }
    }
}
