//! A database of its own for each test: a SQLite file, or a database on the PostgreSQL server that `DATABASE_URL`
//! names. `make test` lends that server, and it goes with all of its databases.

use secrecy::SecretString;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use tempfile::TempDir;
use uuid::Uuid;

/// A database that is empty at first.
pub struct TestDatabase {
    /// Where it is.
    pub url: SecretString,
    /// Removes the file with this value.
    directory: Option<TempDir>,
}

impl TestDatabase {
    /// One of each kind: what holds for one must hold for the other.
    ///
    /// # Panics
    /// Without a PostgreSQL server: run the tests with `make test`.
    pub async fn each() -> [Self; 2] {
        [Self::sqlite(), Self::postgres().await]
    }

    /// A file in a directory that does not exist yet.
    ///
    /// # Panics
    /// When there can be no temporary directory.
    #[expect(clippy::expect_used, reason = "tests only")]
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite://{}", directory.path().join("new/data.db").display());
        Self { url: url.into(), directory: Some(directory) }
    }

    /// A new database on the server.
    ///
    /// # Panics
    /// Without a server: run the tests with `make test`.
    #[expect(clippy::expect_used, clippy::disallowed_methods, reason = "tests only")]
    pub async fn postgres() -> Self {
        let server = std::env::var("DATABASE_URL").expect("needs a real PostgreSQL: run `make test`");
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&server).await.expect("the server takes connections");
        let name = format!("test_{}", Uuid::new_v4().simple());
        let create = AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(create).execute(&mut connection).await.expect("the server makes a database");
        let (server, _) = server.rsplit_once('/').expect("DATABASE_URL names a database");
        Self { url: format!("{server}/{name}").into(), directory: None }
    }

    /// Where the file is.
    ///
    /// # Panics
    /// When this is a database on a server.
    #[expect(clippy::expect_used, reason = "tests only")]
    pub fn file(&self) -> std::path::PathBuf {
        self.directory.as_ref().expect("a file").path().join("new/data.db")
    }
}
