//! What a service remembers: a SQLite file, or a PostgreSQL database, by the scheme of its URL.
//!
//! ```text
//!  caller ── Write ──► queue ──► [writer]  BEGIN · the writes of everybody who waits · COMMIT ──► answers
//!  caller ── query ──► reader()
//! ```
//!
//! A commit that survives a power loss costs one wait for the disk, whatever is in it. So writes are never committed
//! one by one: while the disk works on one group, the next gathers. Each [`Write`] is answered after its commit.

mod database;
mod error;
mod queue;
mod url;
mod writer;

#[cfg(feature = "testing")]
pub mod testing;

pub use database::{Database, Migrations};
pub use error::StoreError;
pub use queue::{Expiring, Lease, Queue, Table};
pub use sqlx;
pub use url::{Dialect, check};
pub use writer::{Session, Write};
