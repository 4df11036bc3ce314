//! Durable state of a service: a SQLite file, or a PostgreSQL database, by the scheme of its URL.
//!
//! ```text
//!  caller ── closure ──► queue ──► [store-writer]  BEGIN · all that has arrived · COMMIT ──► answers
//!  caller ── closure ──► queue ──► [store-reader]  all that has arrived ──► answers
//! ```
//!
//! A commit that survives a power loss costs one wait for the disk, however much is in it. So writes are committed in
//! groups: while the disk works on one, the next gathers. Each write is answered after its commit.
//!
//! A write is an async closure over a [`Session`]. On SQLite its statements run in place, on the thread that owns the
//! connection, and the closure never waits. On PostgreSQL the closures of a group run side by side on one connection:
//! their statements are pipelined, and a group costs as many round trips as its longest write has statements. So one
//! text of a write serves both; a list of statements with decoders would need its own language for "unless the key is
//! known". rusqlite and tokio-postgres are the crates: the one runs a statement without a hop to another thread, the
//! other pipelines and knows several hosts. refinery brings the schemas of both up to date.

mod counts;
mod database;
mod error;
mod health;
mod job;
mod lane;
mod migrate;
mod postgres;
mod queue;
mod session;
mod sqlite;
mod statements;
mod tls;
mod url;
mod value;
mod work;

#[cfg(feature = "testing")]
pub mod testing;

pub use database::Database;
pub use error::{Cause, StoreError};
pub use migrate::Migrations;
pub use queue::Queue;
pub use session::Session;
pub use statements::Expiring;
pub use url::{Dialect, check};
pub use value::{FromColumn, Param, Row};
pub use work::{Backlog, Claim, Decode, Lease, SetAside, Table};
