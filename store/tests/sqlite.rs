//! A SQLite file that is shared, damaged, large, or written by an earlier version.

use std::time::{Duration, Instant};

use secrecy::SecretString;
use store::testing::TestDatabase;
use store::{Database, Migrations, Session, StoreError};

const NOTES: &str = "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)";
const MIGRATIONS: Migrations = Migrations { owner: "notes", sqlite: &[("notes", NOTES)], postgres: &[] };

async fn open(test: &TestDatabase) -> Result<Database, StoreError> {
    Database::open(&test.url, MIGRATIONS).await
}

async fn note(database: &Database, id: i64) -> Result<(), StoreError> {
    let write = async move |session: &Session<'_>| {
        session.execute("INSERT INTO notes (id, text) VALUES ($1, 'x')", &[id.into()]).await.map(drop)
    };
    database.write(write).await
}

/// Waits until the last connection has folded the log into the file.
async fn closed(test: &TestDatabase) {
    while test.file().with_extension("db-wal").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_second_process_is_refused_before_it_touches_the_file() {
    let test = TestDatabase::sqlite();
    let first = open(&test).await.unwrap();
    let error = open(&test).await.err().unwrap();
    assert!(matches!(&error, StoreError::Locked(path) if path.ends_with("data.db")), "{error:?}");
    drop(first);
    open(&test).await.unwrap();
}

#[tokio::test]
async fn an_encoded_path_is_the_same_for_directory_and_file() {
    let directory = tempfile::tempdir().unwrap();
    let url = SecretString::from(format!("sqlite://{}/my%20data/p.db", directory.path().display()));
    let _open = Database::open(&url, MIGRATIONS).await.unwrap();
    assert!(directory.path().join("my data/p.db").exists());
    assert!(!directory.path().join("my%20data").exists());
}

#[tokio::test]
async fn a_write_that_panics_fails_alone_and_the_writer_goes_on() {
    let test = TestDatabase::sqlite();
    let database = open(&test).await.unwrap();
    let panics = async |session: &Session<'_>| -> Result<(), StoreError> {
        session.execute("INSERT INTO notes (id, text) VALUES (7, 'gone')", &[]).await?;
        panic!("on purpose")
    };
    let (panicked, other) = tokio::join!(database.write(panics), note(&database, 1));
    assert!(matches!(panicked.unwrap_err(), StoreError::Panicked));
    other.unwrap();
    note(&database, 7).await.expect("the row of the panic was rolled back");
    database.check().unwrap();
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_not_ready() {
    let test = TestDatabase::sqlite();
    let database = open(&test).await.unwrap();
    let locked = test.lock();
    note(&database, 1).await.unwrap_err();
    assert!(database.check().unwrap_err().to_string().contains("cannot be used"));
    drop(locked);
    note(&database, 1).await.unwrap();
    database.check().unwrap();
}

#[tokio::test]
async fn a_log_that_a_reader_made_long_is_cut_again() {
    let test = TestDatabase::sqlite();
    let database = open(&test).await.unwrap();
    let grow = async |session: &Session<'_>| {
        session.execute("DELETE FROM notes", &[]).await?;
        let text = "x".repeat(4 << 20);
        session.execute("INSERT INTO notes (id, text) VALUES (1, $1)", &[text.as_str().into()]).await
    };
    database.write(grow).await.unwrap();
    let reader = rusqlite::Connection::open(test.file()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM notes").unwrap();
    for _ in 0..20 {
        database.write(grow).await.unwrap();
    }
    assert!(database.log_bytes() > 70 << 20, "{}", database.log_bytes());
    drop(reader);
    for id in 2..6 {
        note(&database, id).await.unwrap();
    }
    assert!(database.log_bytes() <= 64 << 20, "{}", database.log_bytes());
}

#[tokio::test]
async fn a_large_file_is_ready_at_once_and_its_damage_found() {
    let test = TestDatabase::sqlite();
    let database = open(&test).await.unwrap();
    let rows = async |session: &Session<'_>| {
        let insert = "INSERT INTO notes (id, text) \
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) \
             SELECT i, hex(zeroblob(200)) FROM n";
        session.execute(insert, &[]).await
    };
    database.write(rows).await.unwrap();
    drop(database);
    closed(&test).await;
    let mut bytes = std::fs::read(test.file()).unwrap();
    assert!(bytes.len() > 33 << 20, "{}", bytes.len());
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xff);
    std::fs::write(test.file(), bytes).unwrap();

    let begun = Instant::now();
    let database = open(&test).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    while database.check().is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the damage is not found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(matches!(note(&database, -1).await.unwrap_err(), StoreError::Corrupt(_)));
}
