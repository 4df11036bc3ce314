//! A leased work queue: rows that are claimed in one transaction, worked on outside of any, and finished in another.
//!
//! A claim gives its rows a lease. The lease ends at its deadline, and other workers may claim the rows then, under
//! another token; a worker that was stopped for longer can finish nothing with its old token. A service describes its
//! table as a [`Table`] and decodes the rows; the statements are the same for all.

use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, query};
use uuid::Uuid;

use crate::{Dialect, Session};

/// Rows that are forgotten in one step: writes that arrive meanwhile wait for it.
const MAX_FORGOTTEN: u32 = 500;

/// A table of work. It has the columns `lease`, `leased_until` and `attempts`; the texts are SQL of both databases.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The column of its primary key, a text.
    pub key: &'static str,
    /// True for the rows that are work, as a partial index has it.
    pub is_open: &'static str,
    /// True for the rows that are due; `$3` is the time of the claim.
    pub is_due: &'static str,
    /// The column of the time by which rows are claimed, the oldest first.
    pub order_by: &'static str,
    /// Assigned at a claim beside the lease and the attempt, each with a comma in front.
    pub on_claim: &'static str,
    /// The columns that a claim returns.
    pub columns: &'static str,
    /// The column of the time at which a row was finished; null, or not true for `is_finished`, before that.
    pub finished_at: &'static str,
    /// True for the rows that are finished and may be forgotten, as a partial index has it.
    pub is_finished: &'static str,
}

/// The fencing token of a claim: later statements about its rows must show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease(String);

impl Lease {
    /// The token as the column `lease` has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The statements of a [`Table`].
#[derive(Clone, Debug)]
pub struct Queue {
    claim: [String; 2],
    end_leases: String,
    finish: String,
    release: String,
    finished: Expiring,
}

impl Queue {
    /// The queue of a table.
    pub fn new(table: &Table) -> Self {
        let Table { name, key, is_open, is_due, order_by, on_claim, columns, finished_at, is_finished } =
            table;
        let claim = |lock: &str| {
            // Materialized: PostgreSQL may run a plain subquery more than once, and claim more than was asked for.
            format!(
                "WITH due AS MATERIALIZED (SELECT {key} FROM {name} \
                  WHERE {is_open} AND {is_due} AND leased_until <= $3 ORDER BY {order_by} LIMIT $4{lock}) \
                 UPDATE {name} SET lease = $1, leased_until = $2, attempts = attempts + 1{on_claim} \
                 WHERE {key} IN (SELECT {key} FROM due) AND {is_open} AND leased_until <= $3 RETURNING {columns}"
            )
        };
        Self {
            // Replicas step around each other's claims.
            claim: [claim(""), claim(" FOR UPDATE SKIP LOCKED")],
            end_leases: format!(
                "UPDATE {name} SET lease = NULL, leased_until = 0 WHERE {is_open} AND leased_until > 0"
            ),
            finish: format!("UPDATE {name} SET {finished_at} = $1, lease = NULL WHERE lease = $2"),
            release: format!(
                "UPDATE {name} SET lease = NULL, leased_until = 0 WHERE {key} = $1 AND lease = $2"
            ),
            finished: Expiring::new(name, key, is_finished, finished_at),
        }
    }

    /// Claims the oldest rows that are due, at most `limit`, for the time of `lease`. They come in no order.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn claim(
        &self,
        session: &mut Session<'_>,
        limit: u32,
        lease: Duration,
    ) -> sqlx::Result<(Lease, Vec<AnyRow>)> {
        let claim = match session.dialect {
            Dialect::Sqlite => &self.claim[0],
            Dialect::Postgres => &self.claim[1],
        };
        let token = Uuid::new_v4().to_string();
        let rows = query(AssertSqlSafe(claim.as_str()))
            .bind(&token)
            .bind(session.after(lease))
            .bind(session.now)
            .bind(i64::from(limit))
            .fetch_all(&mut *session.connection)
            .await?;
        Ok((Lease(token), rows))
    }

    /// Gives one row back before its lease ends: it is due again at once.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn release(&self, session: &mut Session<'_>, lease: &Lease, key: &str) -> sqlx::Result<()> {
        let release = query(AssertSqlSafe(self.release.as_str())).bind(key).bind(lease.as_str());
        release.execute(&mut *session.connection).await?;
        Ok(())
    }

    /// Finishes all rows that are still held under `lease`; returns their number.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn finish(&self, session: &mut Session<'_>, lease: &Lease) -> sqlx::Result<u64> {
        let finish = query(AssertSqlSafe(self.finish.as_str())).bind(session.now).bind(lease.as_str());
        Ok(finish.execute(&mut *session.connection).await?.rows_affected())
    }

    /// Ends the leases of a process that has ended. For the start of a service: a SQLite file has one process, and
    /// that is this one. On PostgreSQL other replicas run on, and a lease ends at its deadline.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn end_leases(&self, session: &mut Session<'_>) -> sqlx::Result<()> {
        if session.dialect == Dialect::Sqlite {
            query(AssertSqlSafe(self.end_leases.as_str())).execute(&mut *session.connection).await?;
        }
        Ok(())
    }

    /// Deletes rows that were finished `retention` ago or earlier, a portion of them; true if there may be more.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget(&self, session: &mut Session<'_>, retention: Duration) -> sqlx::Result<bool> {
        self.finished.forget(session, retention).await
    }
}

/// Rows that are deleted once they are old, in portions.
#[derive(Clone, Debug)]
pub struct Expiring(String);

impl Expiring {
    /// The rows of table `name` with this primary key for which `condition` is true, and whose time is in the column
    /// `at`.
    pub fn new(name: &str, key: &str, condition: &str, at: &str) -> Self {
        Self(format!(
            "DELETE FROM {name} WHERE {key} IN (SELECT {key} FROM {name} \
             WHERE {condition} AND {at} <= $1 ORDER BY {at} LIMIT $2)"
        ))
    }

    /// Deletes rows that are `retention` old or older, a portion of them; true if there may be more.
    ///
    /// # Errors
    /// When the statement fails.
    pub async fn forget(&self, session: &mut Session<'_>, retention: Duration) -> sqlx::Result<bool> {
        let forget = query(AssertSqlSafe(self.0.as_str()));
        let forget = forget.bind(session.before(retention)).bind(i64::from(MAX_FORGOTTEN));
        let forgotten = forget.execute(&mut *session.connection).await?;
        Ok(forgotten.rows_affected() == u64::from(MAX_FORGOTTEN))
    }
}
