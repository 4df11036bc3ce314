//! The work in a queue: the table that holds it, and the rows that are claimed.

use std::sync::Arc;
use std::time::Duration;

use crate::{Row, StoreError};

/// A table of work. It has the columns `lease`, `leased_until` and `attempts`; the texts are SQL of both databases.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The column of its primary key, a text.
    pub key: &'static str,
    /// True for the rows that are work, as a partial index has it.
    pub is_open: &'static str,
    /// The column of the time by which rows are claimed, the oldest first.
    pub order_by: &'static str,
    /// The longest delay until a row is due by `order_by`; none where rows are due at once.
    pub max_delay: Option<Duration>,
    /// Assigned at a claim beside the lease and the attempt, each with a comma in front; `$2` is the end of the lease.
    pub on_claim: &'static str,
    /// The columns that a claim returns.
    pub columns: &'static str,
    /// Assigned to a row that can't be decoded; `$2` is the reason. It is no work any more then.
    pub on_set_aside: &'static str,
    /// The column of the time at which a row was finished.
    pub finished_at: &'static str,
    /// True for the rows that are finished and may be forgotten, as a partial index has it.
    pub is_finished: &'static str,
}

/// The fencing token of a claim: later statements about its rows must show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease(pub(crate) Arc<str>);

impl Lease {
    /// The token as the column `lease` has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes an item of a row, from its primary key and the other columns of [`Table::columns`].
pub type Decode<T> = fn(&str, Row, &Lease) -> Result<T, StoreError>;

/// Rows that were claimed together.
#[derive(Clone, Debug)]
pub struct Claim<T> {
    /// The token of the claim.
    pub lease: Lease,
    /// The decoded rows, the oldest first.
    pub items: Vec<T>,
    /// The rows that can't be decoded.
    pub set_aside: Vec<SetAside>,
}

/// A row that was set aside.
#[derive(Clone, Debug)]
pub struct SetAside {
    /// Its primary key.
    pub key: String,
    /// The reason.
    pub reason: String,
}

/// The work that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The number of rows that are work.
    pub pending: i64,
    /// The age of the oldest of them; zero without one.
    pub oldest_age: Duration,
}
