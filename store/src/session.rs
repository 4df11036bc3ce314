//! The place where statements run: a transaction of the writer, or a reader.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use crate::counts::Counts;
use crate::value::Value;
use crate::{Dialect, Param, Row, StoreError};

/// A transaction, or a connection for reading. Parameters are `$1`, `$2`, … on both databases.
pub struct Session<'c> {
    connection: Connection<'c>,
    /// The clock of the database when the group began, in milliseconds since the Unix epoch. Replicas on PostgreSQL
    /// share no other clock.
    pub now: i64,
    /// The first error of a statement: PostgreSQL answers COMMIT with a rollback then, and no error.
    failure: RefCell<Option<StoreError>>,
    counts: &'c Counts,
}

#[derive(Clone, Copy)]
pub(crate) enum Connection<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(&'c tokio_postgres::Client),
}

impl<'c> Session<'c> {
    pub(crate) fn new(connection: Connection<'c>, now: i64, counts: &'c Counts) -> Self {
        Self { connection, now, failure: RefCell::default(), counts }
    }

    /// The kind of database.
    pub fn dialect(&self) -> Dialect {
        match self.connection {
            Connection::Sqlite(_) => Dialect::Sqlite,
            Connection::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The time `duration` after now, in the unit of now.
    pub fn after(&self, duration: Duration) -> i64 {
        self.now.saturating_add(milliseconds(duration))
    }

    /// The time `duration` before now, in the unit of now.
    pub fn before(&self, duration: Duration) -> i64 {
        self.now.saturating_sub(milliseconds(duration))
    }

    /// Runs a statement that returns no rows; returns the number of rows that it changed.
    ///
    /// # Errors
    /// When the database refuses it, or is lost.
    pub async fn execute(&self, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        self.counts.statement();
        let changed = match self.connection {
            Connection::Sqlite(connection) => execute(connection, sql, params).map_err(StoreError::from),
            Connection::Postgres(client) => {
                client.execute_typed(sql, &typed(params)).await.map_err(StoreError::from)
            }
        };
        changed.inspect_err(|error| self.fail(error))
    }

    /// Runs a statement that returns rows.
    ///
    /// # Errors
    /// When the database refuses it, or is lost.
    pub async fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.counts.statement();
        let rows = match self.connection {
            Connection::Sqlite(connection) => query(connection, sql, params).map_err(StoreError::from),
            Connection::Postgres(client) => client
                .query_typed(sql, &typed(params))
                .await
                .and_then(|rows| rows.iter().map(decode).collect())
                .map_err(StoreError::from),
        };
        rows.inspect_err(|error| self.fail(error))
    }

    fn fail(&self, error: &StoreError) {
        self.failure.borrow_mut().get_or_insert_with(|| error.clone());
    }

    /// The first error of a statement, also where the write went on.
    pub(crate) fn outcome(&self) -> Result<(), StoreError> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }
}

type Typed<'a> = (&'a (dyn tokio_postgres::types::ToSql + Sync), tokio_postgres::types::Type);

/// Unnamed statements with the types of their parameters take one round trip, and they work through PgBouncer.
fn typed<'a>(params: &'a [Param<'_>]) -> Vec<Typed<'a>> {
    params.iter().map(|param| (param as _, param.postgres_type())).collect()
}

fn decode(row: &tokio_postgres::Row) -> Result<Row, tokio_postgres::Error> {
    let values = (0..row.len()).map(|column| row.try_get::<_, Value>(column));
    Ok(Row::new(values.collect::<Result<_, _>>()?))
}

fn execute(connection: &rusqlite::Connection, sql: &str, params: &[Param<'_>]) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    Ok(u64::try_from(statement.raw_execute()?).unwrap_or(u64::MAX))
}

fn query(connection: &rusqlite::Connection, sql: &str, params: &[Param<'_>]) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, params)?;
    let columns = statement.column_count();
    let mut found = statement.raw_query();
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let values = (0..columns).map(|column| row.get_ref(column).map(Value::from));
        rows.push(Row::new(values.collect::<rusqlite::Result<_>>()?));
    }
    Ok(rows)
}

/// Binds by name: to SQLite `$3` is a name, and its index is the order in which it appears first.
fn bind(statement: &mut rusqlite::CachedStatement<'_>, params: &[Param<'_>]) -> rusqlite::Result<()> {
    for index in 1..=statement.parameter_count() {
        let number =
            statement.parameter_name(index).and_then(|name| name.strip_prefix('$')?.parse::<usize>().ok());
        let param = number.and_then(|number| params.get(number.checked_sub(1)?));
        let param = param.ok_or(rusqlite::Error::InvalidParameterCount(params.len(), index))?;
        statement.raw_bind_parameter(index, param)?;
    }
    Ok(())
}

/// The clock of this machine, in milliseconds since the Unix epoch.
pub(crate) fn clock() -> i64 {
    milliseconds(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
