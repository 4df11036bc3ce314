//! The errors of a store, by what the caller has to know: refused, or outcome unknown.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

/// The reason why a store did not do what it was asked for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL is not one of a database. The message never repeats it: it may hold a password.
    #[error(
        "expected a file, such as sqlite://var/data.db, or postgresql://user:password@host/database; {0}"
    )]
    Url(&'static str),
    /// The directory of the file can't be made.
    #[error("cannot make the directory of the database; check its path and permissions")]
    Directory(#[source] Arc<std::io::Error>),
    /// Another process has the file.
    #[error("another process uses the database file {0}; stop it first")]
    Locked(String),
    /// The database can't be opened.
    #[error("cannot open the database; check its URL, that it runs or is a file, and the permissions")]
    Open(#[source] Cause),
    /// The file is damaged.
    #[error(
        "the database file is damaged ({0}); restore it from a backup, or save what the sqlite3 command .recover finds"
    )]
    Corrupt(String),
    /// The schema can't be brought up to date.
    #[error("cannot bring the schema of the database up to date")]
    Migrate(#[source] Arc<refinery::Error>),
    /// The database refused or was out of reach; nothing was changed.
    #[error("the database cannot be used")]
    Refused(#[source] Cause),
    /// The connection was lost during the commit: it may have happened or not.
    #[error("the database was lost during a commit")]
    Unknown(#[source] Cause),
    /// A row holds values that this version can't read; the text says which.
    #[error("a row cannot be decoded: {0}")]
    Undecodable(String),
    /// A write panicked; nothing was changed.
    #[error("the write panicked")]
    Panicked,
    /// The store has stopped; nothing was changed.
    #[error("the database is closed")]
    Closed,
}

/// The error of the database's driver.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Cause {
    /// SQLite's.
    #[error(transparent)]
    Sqlite(Arc<rusqlite::Error>),
    /// PostgreSQL's, with what the server said.
    #[error("{}", said(.0))]
    Postgres(Arc<tokio_postgres::Error>),
    /// The server did not answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
    /// The certificates can't be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// The server's certificate was refused.
    #[error("cannot trust {server}")]
    Untrusted {
        /// Host and port of each server of the URL.
        server: String,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The thread of the database can't be started.
    #[error(transparent)]
    Thread(Arc<std::io::Error>),
}

/// The driver's own message is "db error" for all that a server says.
fn said(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(said), _) => format!("{} (SQLSTATE {})", said.message(), said.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// The TLS library's error among the causes of a failed connection. An I/O error hides the one within.
pub(crate) fn refused_certificate(error: &tokio_postgres::Error) -> Option<&rustls::Error> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(refused @ rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return Some(refused);
        }
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

impl Cause {
    fn sqlite_code(&self) -> Option<rusqlite::ffi::Error> {
        match self {
            Self::Sqlite(error) => error.sqlite_error().copied(),
            _ => None,
        }
    }

    pub(crate) fn sql_state(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }
}

impl StoreError {
    /// True if a row exists already that may exist only once.
    pub fn is_conflict(&self) -> bool {
        let Self::Refused(cause) = self else { return false };
        let is_unique = |error: rusqlite::ffi::Error| {
            [rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE, rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY]
                .contains(&error.extended_code)
        };
        cause.sql_state() == Some(&SqlState::UNIQUE_VIOLATION) || cause.sqlite_code().is_some_and(is_unique)
    }

    /// The error of a commit. Only some answers mean that the transaction was rolled back. A proxy may speak for a
    /// server that it lost, with a code of its own: that, and no answer, leave the outcome unknown.
    pub(crate) fn of_commit(cause: Cause) -> Self {
        const ROLLED_BACK: [&str; 7] = ["22", "23", "25", "40", "42", "53", "55"];
        let is_rolled_back = match &cause {
            Cause::Postgres(error) => {
                error.code().is_some_and(|state| ROLLED_BACK.contains(&&state.code()[..2]))
            }
            // After an I/O error the log may be on the disk or not.
            _ => cause.sqlite_code().is_some_and(|error| error.code != ErrorCode::SystemIoFailure),
        };
        if is_rolled_back { Self::Refused(cause) } else { Self::Unknown(cause) }
    }

    /// The finding, where the error says that a SQLite file is damaged.
    pub(crate) fn damage(&self) -> Option<String> {
        match self {
            Self::Corrupt(finding) => Some(finding.clone()),
            Self::Refused(cause) | Self::Unknown(cause) | Self::Open(cause) => {
                let code = cause.sqlite_code()?.code;
                (code == ErrorCode::DatabaseCorrupt).then(|| cause.to_string())
            }
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for Cause {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<tokio_postgres::Error> for Cause {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(Arc::new(error))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Refused(error.into())
    }
}

impl From<refinery::Error> for StoreError {
    fn from(error: refinery::Error) -> Self {
        Self::Migrate(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_failed_on_the_disk_is_unknown() {
        for (code, is_unknown) in [
            (rusqlite::ffi::SQLITE_IOERR_FSYNC, true),
            (rusqlite::ffi::SQLITE_IOERR, true),
            (rusqlite::ffi::SQLITE_FULL, false),
            (rusqlite::ffi::SQLITE_BUSY, false),
        ] {
            let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let error = StoreError::of_commit(error.into());
            assert_eq!(matches!(error, StoreError::Unknown(_)), is_unknown, "{error:?}");
        }
        let late = StoreError::of_commit(Cause::Late(Duration::from_secs(5)));
        assert!(matches!(late, StoreError::Unknown(_)));
    }
}
