//! What can go wrong with a store, by what its caller has to know.

use std::sync::Arc;

use sqlx::migrate::MigrateError;

/// Why a store did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database. It is not repeated here: it may hold a password.
    #[error("expected a file, such as sqlite://var/data.db, or postgresql://user:password@host/database")]
    Url,
    /// The directory of the file can't be made.
    #[error("can't make the directory of the database: check its path and permissions")]
    Directory(#[source] Arc<std::io::Error>),
    /// The database can't be opened: it is not there, not ours to write, or no database.
    #[error("can't open the database: check its URL, that it runs or is a file, and the permissions")]
    Open(#[source] Arc<sqlx::Error>),
    /// The file is damaged.
    #[error(
        "the database file is damaged ({0}): restore it from a backup, or save what the sqlite3 command .recover finds"
    )]
    Corrupt(String),
    /// The schema can't be brought up to date.
    #[error("can't bring the schema of the database up to date")]
    Migrate(#[source] Arc<MigrateError>),
    /// The database refused or was out of reach; nothing was changed.
    #[error("the database can't be used")]
    Refused(#[source] Arc<sqlx::Error>),
    /// The line was lost during the commit: it may have happened or not.
    #[error("the database was lost during a commit")]
    Unknown(#[source] Arc<sqlx::Error>),
    /// The writer has stopped; nothing was changed.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    /// Whether a row was there already that may be there only once.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Refused(error) => {
                error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
            }
            _ => false,
        }
    }

    /// What a failed commit means. A database that answers has rolled back; one that does not may have committed.
    pub(crate) fn of_commit(error: sqlx::Error) -> Self {
        /// `SQLITE_IOERR`, whose extended codes have it in their low byte: the log may be on the disk or not.
        const IO_ERROR: u32 = 10;
        let code =
            error.as_database_error().map(|error| error.code().and_then(|code| code.parse::<u32>().ok()));
        match code {
            None => Self::Unknown(Arc::new(error)),
            Some(Some(code)) if code & 0xff == IO_ERROR => Self::Unknown(Arc::new(error)),
            Some(_) => Self::Refused(Arc::new(error)),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Refused(Arc::new(error))
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        Self::Migrate(Arc::new(error))
    }
}
