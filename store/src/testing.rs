//! A database of its own for each test: a SQLite file, or a database on the PostgreSQL server that `DATABASE_URL`
//! names. `make test` lends that server, and it ends with all of its databases.
#![expect(clippy::expect_used, reason = "tests only")]

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio_postgres::NoTls;
use uuid::Uuid;

/// A database that is empty at first.
pub struct TestDatabase {
    /// Its URL.
    pub url: SecretString,
    /// Removes the file with this value.
    directory: Option<TempDir>,
}

impl TestDatabase {
    /// One of each kind: both must keep the same promises.
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
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite://{}", directory.path().join("new/data.db").display());
        Self { url: url.into(), directory: Some(directory) }
    }

    /// A new database on the server.
    ///
    /// # Panics
    /// Without a server: run the tests with `make test`.
    #[expect(clippy::disallowed_methods, reason = "tests only")]
    pub async fn postgres() -> Self {
        let server = std::env::var("DATABASE_URL").expect("needs a real PostgreSQL: run `make test`");
        let name = format!("test_{}", Uuid::new_v4().simple());
        execute_on_server(&server, &format!("CREATE DATABASE {name}")).await;
        let (server, _) = server.rsplit_once('/').expect("DATABASE_URL names a database");
        Self { url: format!("{server}/{name}").into(), directory: None }
    }

    /// True if it is a SQLite file.
    pub fn is_file(&self) -> bool {
        self.directory.is_some()
    }

    /// The path of the file.
    ///
    /// # Panics
    /// When this is a database on a server.
    pub fn file(&self) -> std::path::PathBuf {
        self.directory.as_ref().expect("a file").path().join("new/data.db")
    }

    /// Runs statements as another program would.
    ///
    /// # Panics
    /// When one fails.
    pub async fn execute(&self, sql: &str) {
        if self.directory.is_none() {
            return execute_on_server(self.url.expose_secret(), sql).await;
        }
        let path = self.file();
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("the directory can be made");
        let file = rusqlite::Connection::open(path).expect("the file opens");
        file.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout can be set");
        file.execute_batch(sql).expect("the statements succeed");
    }

    /// The steps of the plan of a statement on a file that read a whole table, or a whole index that has all of its
    /// rows; those of open rows alone are partial.
    ///
    /// # Panics
    /// When the statement can't be prepared.
    pub fn scans(&self, sql: &str) -> Vec<String> {
        let file = rusqlite::Connection::open(self.file()).expect("the file opens");
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let mut explain = file.prepare(&explain).expect("the statement can be prepared");
        let mut rows = explain.raw_query();
        let mut scans = Vec::new();
        while let Some(row) = rows.next().expect("the statement can be explained") {
            let step: String = row.get(3).expect("a step is a text");
            let mut words = step.split(' ').skip_while(|word| *word != "SCAN").skip(1);
            let named = |name: &str, condition: &str| {
                let find = format!("SELECT 1 FROM sqlite_master WHERE name = ?1 AND {condition}");
                file.query_row(&find, [name], |_| Ok(())).is_ok()
            };
            let is_table = words.next().is_some_and(|name| named(name, "type = 'table'"));
            let is_partial =
                step.split(' ').any(|word| named(word, "type = 'index' AND sql LIKE '% WHERE %'"));
            if is_table && !is_partial {
                scans.push(step);
            }
        }
        scans
    }

    /// Locks the file as another program would.
    ///
    /// # Panics
    /// When the file can't be locked.
    pub fn lock(&self) -> ExclusiveLock {
        let file = rusqlite::Connection::open(self.file()).expect("the file opens");
        file.busy_timeout(std::time::Duration::from_secs(5)).expect("a timeout can be set");
        file.execute_batch("BEGIN EXCLUSIVE").expect("the file can be locked");
        ExclusiveLock { _file: file }
    }

    /// The columns of the first row of a query on a file, as texts.
    ///
    /// # Panics
    /// When the query fails.
    pub fn row(&self, sql: &str) -> Option<Vec<String>> {
        use rusqlite::{OptionalExtension, types::Value};
        let file = rusqlite::Connection::open(self.file()).expect("the file opens");
        let columns = |row: &rusqlite::Row<'_>| {
            let texts = (0..row.as_ref().column_count()).map(|column| {
                Ok(match row.get(column)? {
                    Value::Text(text) => text,
                    Value::Integer(number) => number.to_string(),
                    _ => String::new(),
                })
            });
            texts.collect()
        };
        file.query_row(sql, [], columns).optional().expect("the query succeeds")
    }
}

/// Keeps the service from writing to a file until it is dropped.
pub struct ExclusiveLock {
    _file: rusqlite::Connection,
}

async fn execute_on_server(url: &str, sql: &str) {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.expect("the server takes connections");
    let statements = async move { client.batch_execute(sql).await };
    // The connection ends with its client.
    let (done, _) = tokio::join!(statements, connection);
    done.expect("the statements succeed");
}
