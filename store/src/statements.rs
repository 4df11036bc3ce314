//! The statements of a queue, made once from the description of its table.

use std::time::Duration;

use uuid::Uuid;

use crate::work::{Claim, Decode, Lease, SetAside, Table};
use crate::{Database, Dialect, Session, StoreError};

/// Rows that are forgotten in one step: writes that arrive meanwhile wait for it.
const MAX_FORGOTTEN: u32 = 500;

pub(crate) struct Statements {
    claim: String,
    /// For a clock that was set back: no row is due later than after the longest delay.
    bound: Option<String>,
    max_delay: Duration,
    set_aside: String,
    pub(crate) end_leases: String,
    pub(crate) finish: String,
    pub(crate) release: String,
    pub(crate) count: String,
    pub(crate) oldest: String,
    pub(crate) finished: Expiring,
}

impl Statements {
    pub(crate) fn new(table: &Table, dialect: Dialect) -> Self {
        let Table { name, key, is_open, order_by, on_claim, columns, on_set_aside, .. } = table;
        let Table { finished_at, is_finished, .. } = table;
        let is_due = table.max_delay.map_or(String::new(), |_| format!(" AND {order_by} <= $3"));
        let (is_free, lock) = match dialect {
            // A lease that ends too late: the clock was set back since.
            Dialect::Sqlite => ("(leased_until <= $3 OR leased_until > $5)", ""),
            // Replicas step around each other's claims.
            Dialect::Postgres => ("leased_until <= $3", " FOR UPDATE SKIP LOCKED"),
        };
        let due_now = table.max_delay.map_or(String::new(), |_| format!(", {order_by} = $1"));
        let is_bounded = dialect == Dialect::Sqlite && table.max_delay.is_some();
        let bound = format!("UPDATE {name} SET {order_by} = $1 WHERE {is_open} AND {order_by} > $2");
        Self {
            // Materialized: PostgreSQL may run a plain subquery more than once, and claim more than was asked for.
            claim: format!(
                "WITH due AS MATERIALIZED (SELECT {key} FROM {name} \
                  WHERE {is_open}{is_due} AND {is_free} ORDER BY {order_by} LIMIT $4{lock}) \
                 UPDATE {name} SET lease = $1, leased_until = $2, attempts = attempts + 1{on_claim} \
                 WHERE {key} IN (SELECT {key} FROM due) AND {is_open} AND {is_free} \
                 RETURNING {key}, {order_by}, {columns}"
            ),
            bound: is_bounded.then_some(bound),
            max_delay: table.max_delay.unwrap_or_default(),
            set_aside: format!("UPDATE {name} SET {on_set_aside}, lease = NULL WHERE {key} = $1"),
            end_leases: format!(
                "UPDATE {name} SET lease = NULL, leased_until = 0{due_now} WHERE {is_open} AND leased_until > 0"
            ),
            finish: format!("UPDATE {name} SET {finished_at} = $1, lease = NULL WHERE lease = $2"),
            release: format!(
                "UPDATE {name} SET lease = NULL, leased_until = 0 WHERE {key} = $1 AND lease = $2"
            ),
            count: format!("SELECT count(*) FROM {name} WHERE {is_open}"),
            oldest: format!("SELECT min({order_by}) FROM {name} WHERE {is_open}"),
            finished: Expiring::new(name, key, is_finished, finished_at),
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn all(&self) -> Vec<String> {
        let Self { claim, bound, set_aside, end_leases, finish, release, count, oldest, finished, .. } = self;
        let each = [claim, set_aside, end_leases, finish, release, count, oldest, finished.statement()];
        each.into_iter().chain(bound).cloned().collect()
    }

    pub(crate) async fn claim<T>(
        &self,
        session: &Session<'_>,
        limit: u32,
        duration: Duration,
        decode: Decode<T>,
    ) -> Result<Claim<T>, StoreError> {
        let latest = session.after(duration.max(self.max_delay));
        if let Some(bound) = &self.bound {
            session.execute(bound, &[session.now.into(), latest.into()]).await?;
        }
        let lease = Lease(Uuid::new_v4().to_string().into());
        let until = session.after(duration);
        let params = [lease.as_str().into(), until.into(), session.now.into(), limit.into(), latest.into()];
        // PostgreSQL can't tell the type of a parameter that the text does not have.
        let params = if session.dialect() == Dialect::Sqlite { &params[..] } else { &params[..4] };
        let mut rows = Vec::new();
        for mut row in session.query(&self.claim, params).await? {
            let (key, at): (String, i64) = (row.take()?, row.take()?);
            rows.push((at, key, row));
        }
        // RETURNING promises no order.
        rows.sort_by_key(|(at, ..)| *at);
        let mut claim = Claim { lease, items: Vec::with_capacity(rows.len()), set_aside: Vec::new() };
        for (_, key, row) in rows {
            match decode(&key, row, &claim.lease) {
                Ok(item) => claim.items.push(item),
                Err(error) => {
                    let reason = error.to_string();
                    session.execute(&self.set_aside, &[key.as_str().into(), reason.as_str().into()]).await?;
                    claim.set_aside.push(SetAside { key, reason });
                }
            }
        }
        Ok(claim)
    }
}

/// Rows that are deleted once they are old, in portions.
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

    /// The statement, for a test of its plan.
    #[cfg(feature = "testing")]
    pub fn statement(&self) -> &String {
        &self.0
    }

    /// Deletes rows that are `retention` old or older.
    ///
    /// # Errors
    /// When the database can't be written; the rest is deleted the next time.
    pub async fn forget(&self, database: &Database, retention: Duration) -> Result<(), StoreError> {
        let mut forgotten = u64::from(MAX_FORGOTTEN);
        while forgotten == u64::from(MAX_FORGOTTEN) {
            let forget = self.0.clone();
            let portion = async move |session: &Session<'_>| {
                session.execute(&forget, &[session.before(retention).into(), MAX_FORGOTTEN.into()]).await
            };
            forgotten = database.write(portion).await?;
        }
        Ok(())
    }
}
