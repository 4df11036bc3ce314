//! A database: its writer, its reader, its health.

use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;

use crate::counts::Counts;
use crate::health::Health;
use crate::lane::Lane;
use crate::migrate::Migrations;
use crate::url::{Dialect, Location};
use crate::{Session, StoreError, postgres, sqlite, tls, url};

/// A database; cheap to clone.
#[derive(Clone)]
pub struct Database {
    /// The file, if it is one.
    path: Option<Arc<Path>>,
    writer: Lane,
    reader: Lane,
    health: Health,
    counts: Counts,
}

impl Database {
    /// Opens a database, makes the file if there is none, and brings the schema up to date.
    ///
    /// A small file is read from end to end first, and refused if it is damaged; a large one is read meanwhile, see
    /// [`Database::check`].
    ///
    /// # Errors
    /// When the database can't be opened, or its schema can't be brought up to date; the service must not start then.
    pub async fn open(url: &SecretString, migrations: Migrations) -> Result<Self, StoreError> {
        let (health, counts) = (Health::default(), Counts::default());
        let write = "store-writer";
        let read = "store-reader";
        Ok(match url::parse(url)? {
            Location::Sqlite(path) => {
                let (file, checked, counted) = (path.clone(), health.clone(), counts.clone());
                let open = async move || sqlite::Writer::open(file, migrations, checked, counted);
                let writer = Lane::start(write, health.clone(), open).await?;
                let (file, counted) = (path.clone(), counts.clone());
                let open = async move || Ok(sqlite::Reader::new(file, counted));
                let reader = Lane::start(read, Health::default(), open).await?;
                Self { path: Some(path.into()), writer, reader, health, counts }
            }
            Location::Postgres(server) => {
                let tls = tls::client_config(&server)?;
                let (remote, config, counted) = (server.clone(), tls.clone(), counts.clone());
                let open = async move || postgres::Writer::open(*remote, migrations, config, counted).await;
                let writer = Lane::start(write, health.clone(), open).await?;
                let counted = counts.clone();
                let open = async move || Ok(postgres::Reader::new(*server, migrations.owner, tls, counted));
                let reader = Lane::start(read, Health::default(), open).await?;
                Self { path: None, writer, reader, health, counts }
            }
        })
    }

    /// The kind of database.
    pub fn dialect(&self) -> Dialect {
        if self.path.is_some() { Dialect::Sqlite } else { Dialect::Postgres }
    }

    /// Runs `write` in a transaction with the writes of others, and answers after the commit. It runs again when the
    /// group had to be rolled back. It may await nothing but its session.
    ///
    /// # Errors
    /// When it was not committed; [`StoreError::Unknown`] when the outcome is unknown.
    pub async fn write<T, F>(&self, write: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: AsyncFn(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.run(write).await
    }

    /// Runs queries outside of a transaction. They see each commit that was answered before.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: AsyncFn(&Session<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.reader.run(read).await
    }

    /// Registers `store_statements_total` and `store_commits_total`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn register(&self, registry: &prometheus::Registry) -> Result<(), prometheus::Error> {
        self.counts.register(registry)
    }

    /// The reason why the database can't be used: the failure of the last write, or damage that was found in a file.
    ///
    /// # Errors
    /// That reason.
    pub fn check(&self) -> Result<(), StoreError> {
        self.health.check()
    }

    /// The size of a file's write-ahead log in bytes; zero for a server.
    pub fn log_bytes(&self) -> u64 {
        let Some(path) = &self.path else { return 0 };
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |file| file.len())
    }
}
