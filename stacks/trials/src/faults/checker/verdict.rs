//! The result of a check.

use std::fmt;

/// The violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The invariant, such as `K1`.
    pub(crate) invariant: &'static str,
    /// The observation.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

/// The verdict on a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Operations that were answered with an order.
    pub(crate) accepted: usize,
    /// Accepted operations without a record or an e-mail.
    pub(crate) lost: usize,
    /// Operations with a second order, or with an e-mail too many that was not declared.
    pub(crate) doubled: usize,
    /// Orders whose e-mail was declared uncertain.
    pub(crate) uncertain: usize,
    /// All violations.
    pub(crate) violations: Vec<Violation>,
}

impl Verdict {
    /// Adds a violation.
    pub(crate) fn note(&mut self, invariant: &'static str, what: impl Into<String>) {
        self.violations.push(Violation { invariant, what: what.into() });
    }
}
