//! Which database a URL names.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::StoreError;

/// The database behind a URL, where its SQL or its ways differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A file: one service, one writer.
    Sqlite,
    /// A server: as many replicas of a service as wanted.
    Postgres,
}

/// A URL that was checked.
#[derive(Clone)]
pub(crate) struct DatabaseUrl {
    pub(crate) dialect: Dialect,
    url: SecretString,
}

/// Whether `url` names a database that [`Database::open`](crate::Database::open) can try to open.
///
/// # Errors
/// Says what was expected; never repeats the URL, for it may hold a password.
pub fn check(url: &SecretString) -> Result<Dialect, StoreError> {
    DatabaseUrl::parse(url).map(|url| url.dialect)
}

impl DatabaseUrl {
    pub(crate) fn parse(url: &SecretString) -> Result<Self, StoreError> {
        let text = url.expose_secret();
        let (scheme, rest) = text.split_once("://").ok_or(StoreError::Url)?;
        // sqlx by itself takes any other scheme for the name of a file, and `:memory:` forgets.
        let dialect = match scheme {
            "sqlite" if !rest.is_empty() && !rest.starts_with([':', '?']) => Dialect::Sqlite,
            "postgres" | "postgresql" if !rest.is_empty() => Dialect::Postgres,
            _ => return Err(StoreError::Url),
        };
        text.parse::<sqlx::any::AnyConnectOptions>().map_err(|_| StoreError::Url)?;
        Ok(Self { dialect, url: url.clone() })
    }

    /// The directory of the file, where there is one.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        let path = self.url.expose_secret().strip_prefix("sqlite://")?;
        let file = path.split_once('?').map_or(path, |(file, _)| file);
        Path::new(file).parent().filter(|path| *path != Path::new("")).map(Path::to_owned)
    }

    /// For the writer, who makes a file that is not there.
    pub(crate) fn to_write(&self) -> Result<sqlx::any::AnyConnectOptions, StoreError> {
        self.with_mode("rwc")
    }

    /// For readers.
    pub(crate) fn to_read(&self) -> Result<sqlx::any::AnyConnectOptions, StoreError> {
        self.with_mode("ro")
    }

    fn with_mode(&self, mode: &str) -> Result<sqlx::any::AnyConnectOptions, StoreError> {
        let url = self.url.expose_secret();
        let parsed = match self.dialect {
            Dialect::Postgres => url.parse(),
            Dialect::Sqlite if url.contains('?') => format!("{url}&mode={mode}").parse(),
            Dialect::Sqlite => format!("{url}?mode={mode}").parse(),
        };
        parsed.map_err(|_| StoreError::Url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_tells_the_database() {
        for (url, dialect) in [
            ("sqlite://var/payment.db", Dialect::Sqlite),
            ("sqlite:///var/lib/payment.db", Dialect::Sqlite),
            ("postgres://payment@localhost/payment", Dialect::Postgres),
            ("postgresql://payment:secret@localhost:5433/payment?sslmode=verify-full", Dialect::Postgres),
        ] {
            assert_eq!(check(&url.into()).unwrap(), dialect, "{url}");
        }
    }

    #[test]
    fn what_names_no_database_is_refused_without_being_repeated() {
        for url in
            ["", "payment.db", "sqlite://", "sqlite://:memory:", "sqlite://?mode=rwc", "mysql://hunter2@h/d"]
        {
            let error = check(&url.into()).unwrap_err().to_string();
            assert!(error.contains("sqlite://var/data.db") && !error.contains("hunter2"), "{url}: {error}");
        }
    }

    #[test]
    fn the_directory_of_a_file_is_known_and_a_server_has_none() {
        let directory = |url: &str| DatabaseUrl::parse(&url.into()).unwrap().directory();
        assert_eq!(directory("sqlite://var/payment.db?cache=private"), Some("var".into()));
        assert_eq!(directory("sqlite://payment.db"), None);
        assert_eq!(directory("postgres://localhost/payment"), None);
    }
}
