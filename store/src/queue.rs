//! A leased work queue: rows that are claimed in one transaction, worked on outside of any, and finished in another.
//!
//! A claim gives its rows a lease. The lease ends at its deadline, and other workers may claim the rows then, under
//! another token; a worker that was stopped for longer can finish nothing with its old token. A row that can't be
//! decoded is set aside with the reason, and the others flow. A service describes its [`Table`] and decodes the rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::statements::Statements;
use crate::work::{Backlog, Claim, Decode, Lease, Table};
use crate::{Database, Dialect, Row, Session, StoreError};

/// A [`Table`] of a database; cheap to clone.
#[derive(Clone)]
pub struct Queue {
    database: Database,
    statements: Arc<Statements>,
    count: Arc<Count>,
}

/// The number of rows that are work, kept as they come and go.
#[derive(Default)]
struct Count {
    rows: AtomicI64,
    /// False until the rows were counted, and after a commit whose outcome is unknown.
    is_exact: AtomicBool,
}

impl Queue {
    /// The queue of a table. Ends the leases of the process that had the file before: a SQLite file has one process,
    /// and that is this one. On PostgreSQL other replicas run on, and a lease ends at its deadline.
    ///
    /// # Errors
    /// When the database can't be used.
    pub async fn open(database: Database, table: &Table) -> Result<Self, StoreError> {
        let dialect = database.dialect();
        let statements = Arc::new(Statements::new(table, dialect));
        let queue = Self { database, statements, count: Arc::default() };
        if dialect == Dialect::Sqlite {
            let statements = queue.statements.clone();
            let end = async move |session: &Session<'_>| {
                session.execute(&statements.end_leases, &[session.now.into()]).await
            };
            queue.database.write(end).await?;
        }
        queue.backlog().await?;
        Ok(queue)
    }

    /// Claims the oldest rows that are due, at most `limit`, for the time of `lease`.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn claim<T: Send + 'static>(
        &self,
        limit: u32,
        lease: Duration,
        decode: Decode<T>,
    ) -> Result<Claim<T>, StoreError> {
        let statements = self.statements.clone();
        let claim = async move |session: &Session<'_>| statements.claim(session, limit, lease, decode).await;
        let claim = self.database.write(claim).await?;
        self.removed(claim.set_aside.len() as u64);
        Ok(claim)
    }

    /// Finishes the rows that are still held under `lease`, except for those with a key in `released`: they are due
    /// again at once. Returns the number of finished rows.
    ///
    /// # Errors
    /// When the database can't be written.
    pub async fn finish(&self, lease: Lease, released: Vec<String>) -> Result<u64, StoreError> {
        let statements = self.statements.clone();
        let finish = async move |session: &Session<'_>| {
            for key in &released {
                session.execute(&statements.release, &[key.as_str().into(), lease.as_str().into()]).await?;
            }
            session.execute(&statements.finish, &[session.now.into(), lease.as_str().into()]).await
        };
        let finished = self.database.write(finish).await.inspect_err(|error| self.failed(error))?;
        self.removed(finished);
        Ok(finished)
    }

    /// Deletes rows that were finished `retention` ago or earlier.
    ///
    /// # Errors
    /// When the database can't be written; the rest is deleted the next time.
    pub async fn forget(&self, retention: Duration) -> Result<(), StoreError> {
        self.statements.finished.forget(&self.database, retention).await
    }

    /// Counts rows that a write of the service has added and committed.
    pub fn added(&self, rows: u64) {
        self.count.rows.fetch_add(rows.cast_signed(), Ordering::Relaxed);
    }

    /// Counts rows that a write of the service has finished and committed.
    pub fn removed(&self, rows: u64) {
        self.count.rows.fetch_sub(rows.cast_signed(), Ordering::Relaxed);
    }

    /// Counts again after a write of the service whose outcome is unknown.
    pub fn failed(&self, error: &StoreError) {
        if matches!(error, StoreError::Unknown(_)) {
            self.count.is_exact.store(false, Ordering::Relaxed);
        }
    }

    /// All statements about the table, for a test of their plans.
    #[cfg(feature = "testing")]
    pub fn statements(&self) -> Vec<String> {
        self.statements.all()
    }

    /// The number of rows that are work, without a query. Exact on SQLite; on PostgreSQL it is the last
    /// [`Queue::backlog`] and what this replica has done since.
    pub fn pending(&self) -> i64 {
        self.count.rows.load(Ordering::Relaxed).max(0)
    }

    /// The number of rows that are work, and the age of the oldest.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        // Replicas on PostgreSQL know of each other's rows from the table alone.
        let is_kept =
            self.database.dialect() == Dialect::Sqlite && self.count.is_exact.load(Ordering::Relaxed);
        let statements = self.statements.clone();
        let measure = async move |session: &Session<'_>| {
            let first = |mut rows: Vec<Row>| rows.pop().map(|mut row| row.take::<Option<i64>>()).transpose();
            let count = match is_kept {
                true => None,
                false => first(session.query(&statements.count, &[]).await?)?.flatten(),
            };
            let oldest = first(session.query(&statements.oldest, &[]).await?)?.flatten();
            Ok((count, oldest.map_or(0, |oldest| session.now - oldest)))
        };
        let (count, oldest_age) = self.database.read(measure).await?;
        if let Some(count) = count {
            self.count.rows.store(count, Ordering::Relaxed);
            self.count.is_exact.store(true, Ordering::Relaxed);
        }
        // The clock of the replica that wrote the row may be ahead.
        let oldest_age = Duration::from_millis(u64::try_from(oldest_age).unwrap_or(0));
        Ok(Backlog { pending: self.pending(), oldest_age })
    }
}
