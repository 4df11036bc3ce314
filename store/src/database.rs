//! Opening a database, and the two ways in.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection, Row, SqlSafeStr};

use crate::url::DatabaseUrl;
use crate::writer::{Writer, connect};
use crate::{Dialect, StoreError, Write};

const READERS: u32 = 4;
/// How long a reader waits for its turn, or for a server.
const READ_DEADLINE: Duration = Duration::from_secs(5);

/// The steps to the newest schema, in order; a step that was released is never changed.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// Whose steps these are: services may share one PostgreSQL database, and each counts its own.
    pub owner: &'static str,
    /// Name and SQL for SQLite.
    pub sqlite: &'static [(&'static str, &'static str)],
    /// Name and SQL for PostgreSQL.
    pub postgres: &'static [(&'static str, &'static str)],
}

/// A database; cheap to clone.
#[derive(Clone)]
pub struct Database {
    dialect: Dialect,
    reader: AnyPool,
    writer: Writer,
}

impl Database {
    /// Opens a database, makes the file if there is none, and brings the schema up to date.
    ///
    /// A file is read once from end to end, to find out now rather than later that it is damaged. Must be called on
    /// a tokio runtime: the writer is a task of it.
    ///
    /// # Errors
    /// When that is not possible; the service must not start then.
    pub async fn open(url: &SecretString, migrations: Migrations) -> Result<Self, StoreError> {
        let url = DatabaseUrl::parse(url)?;
        // For the whole process, and harmless to repeat.
        sqlx::any::install_default_drivers();
        if let Some(directory) = url.directory() {
            std::fs::create_dir_all(directory).map_err(|error| StoreError::Directory(Arc::new(error)))?;
        }
        let options = url.to_write()?;
        let opened = tokio::time::timeout(READ_DEADLINE, connect(url.dialect, &options)).await;
        let opened = opened.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut));
        let mut connection = opened.map_err(|error| StoreError::Open(Arc::new(error)))?;
        if url.dialect == Dialect::Sqlite {
            examine(&mut connection).await?;
        }
        migrator(migrations, url.dialect).run(&mut connection).await?;
        connection.clear_cached_statements().await?;
        let reader = AnyPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(READ_DEADLINE)
            // A server may have hung up since; a file does not.
            .test_before_acquire(url.dialect == Dialect::Postgres)
            .connect_lazy_with(url.to_read()?);
        Ok(Self { dialect: url.dialect, reader, writer: Writer::start(url, options, connection) })
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// For queries. What was committed by the time of the query is seen.
    pub fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Writes, and answers after the commit.
    ///
    /// # Errors
    /// When it was not committed; [`StoreError::Unknown`] when nobody can tell.
    pub async fn write<W: Write>(&self, write: W) -> Result<W::Output, StoreError> {
        self.writer.write(write).await
    }
}

async fn examine(connection: &mut AnyConnection) -> Result<(), StoreError> {
    let damaged = |error: sqlx::Error| match error.as_database_error() {
        Some(error) => StoreError::Corrupt(error.message().to_owned()),
        None => StoreError::Open(Arc::new(error)),
    };
    let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(damaged)?;
    let finding: String = row.try_get(0).map_err(damaged)?;
    if finding == "ok" { Ok(()) } else { Err(StoreError::Corrupt(finding)) }
}

fn migrator(migrations: Migrations, dialect: Dialect) -> Migrator {
    let steps = match dialect {
        Dialect::Sqlite => migrations.sqlite,
        Dialect::Postgres => migrations.postgres,
    };
    let step = |(version, (name, sql)): (i64, &(&'static str, &'static str))| {
        Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations((1..).zip(steps).map(step).collect());
    if dialect == Dialect::Postgres {
        // Called dangerous for names that nobody has checked.
        migrator.dangerous_set_table_name(format!("{}_migrations", migrations.owner));
    }
    migrator
}
