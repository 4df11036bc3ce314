//! The writer on both databases: what is answered is committed, in groups, and nobody suffers for a neighbour.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use store::sqlx::{self, Connection, Row, query};
use store::testing::TestDatabase;
use store::{Database, Dialect, Migrations, Session, StoreError, Write};

const NOTES: &str = "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)";
const MIGRATIONS: Migrations =
    Migrations { owner: "notes", sqlite: &[("notes", NOTES)], postgres: &[("notes", NOTES)] };

/// Writes a note, and notes by itself which transaction that was.
struct Note {
    id: i64,
    runs: Arc<AtomicUsize>,
}

impl Write for Note {
    type Output = i64;

    async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<i64> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        query("INSERT INTO notes (id, text) VALUES ($1, $2)")
            .bind(self.id)
            .bind(session.now.to_string())
            .execute(&mut *session.connection)
            .await?;
        Ok(self.id)
    }
}

fn note(id: i64) -> Note {
    Note { id, runs: Arc::default() }
}

async fn notes(database: &Database) -> Vec<(i64, String)> {
    let rows = query("SELECT id, text FROM notes ORDER BY id").fetch_all(database.reader()).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test]
async fn what_is_answered_can_be_read_by_everybody_and_after_a_restart() {
    for test in TestDatabase::each().await {
        let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
        assert_eq!(database.write(note(7)).await.unwrap(), 7);
        assert_eq!(notes(&database).await.len(), 1);
        drop(database);
        let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
        assert_eq!(notes(&database).await.len(), 1, "{:?}", database.dialect());
    }
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    for test in TestDatabase::each().await {
        let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
        futures_util::future::try_join_all((0..1000).map(|id| database.write(note(id)))).await.unwrap();
        let notes = notes(&database).await;
        let groups: std::collections::HashSet<&String> = notes.iter().map(|(_, group)| group).collect();
        assert_eq!(notes.len(), 1000);
        assert!(groups.len() < 100, "{} groups of {:?}", groups.len(), database.dialect());
    }
}

#[tokio::test]
async fn a_write_that_fails_fails_alone() {
    for test in TestDatabase::each().await {
        let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
        database.write(note(3)).await.unwrap();
        let writes = (0..10).map(|id| database.write(note(id)));
        let answers = futures_util::future::join_all(writes).await;
        let failed: Vec<usize> = (0..10).filter(|id| answers[*id].is_err()).collect();
        assert_eq!(failed, [3], "{:?}", database.dialect());
        assert!(answers[3].as_ref().unwrap_err().is_conflict());
        assert_eq!(notes(&database).await.len(), 10);
    }
}

#[tokio::test]
async fn who_hangs_up_does_not_undo_what_he_has_handed_in() {
    for test in TestDatabase::each().await {
        let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
        let write = note(1);
        let runs = write.runs.clone();
        let begun = tokio::time::timeout(Duration::ZERO, database.write(write)).await;
        drop(begun);
        // In order: when the second is answered, the first is committed, if it was handed in at all.
        database.write(note(2)).await.unwrap();
        assert_eq!(notes(&database).await.len(), 1 + runs.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_file_that_another_process_has_locked_is_refused_in_time_and_used_when_it_is_free() {
    let test = TestDatabase::sqlite();
    let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
    let mut other =
        sqlx::AnyConnection::connect(&format!("sqlite://{}", test.file().display())).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    let begun = Instant::now();
    let error = database.write(note(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)) && begun.elapsed() < Duration::from_secs(4), "{error:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    database.write(note(1)).await.unwrap();
    assert_eq!(notes(&database).await.len(), 1);
}

#[tokio::test]
async fn a_file_that_can_grow_no_more_refuses_and_keeps_what_it_has() {
    /// Writes a note that is large.
    struct Large(i64);
    impl Write for Large {
        type Output = ();
        async fn write(&self, session: &mut Session<'_>) -> sqlx::Result<()> {
            // The same error as of a full disk, and no disk has to be filled for it.
            sqlx::raw_sql("PRAGMA max_page_count = 64").execute(&mut *session.connection).await?;
            query("INSERT INTO notes (id, text) VALUES ($1, $2)")
                .bind(self.0)
                .bind("x".repeat(64 * 1024))
                .execute(&mut *session.connection)
                .await?;
            Ok(())
        }
    }
    let test = TestDatabase::sqlite();
    let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
    let mut kept = 0;
    let error = loop {
        match database.write(Large(kept)).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StoreError::Refused(error) if error.to_string().contains("full")), "{error:?}");
    assert_eq!(notes(&database).await.len(), usize::try_from(kept).unwrap());
    assert_eq!(database.write(note(1000)).await.unwrap(), 1000, "a small one still fits");
}

#[tokio::test]
async fn a_server_that_cuts_the_line_is_dialled_again() {
    let test = TestDatabase::postgres().await;
    let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
    database.write(note(1)).await.unwrap();
    query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .fetch_all(database.reader())
    .await
    .unwrap();
    // It ends soon, not at once: in between, a write may still be told.
    let _ = database.write(note(2)).await;
    while let Err(error) = database.write(note(3)).await {
        assert!(matches!(error, StoreError::Unknown(_) | StoreError::Refused(_)), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_damaged_or_no_database_is_refused_with_what_to_do() {
    let test = TestDatabase::sqlite();
    let database = Database::open(&test.url, MIGRATIONS).await.unwrap();
    for id in 0..2000 {
        database.write(note(id)).await.unwrap();
        if id == 0 {
            assert_eq!(database.dialect(), Dialect::Sqlite);
        }
    }
    drop(database);
    // The last connection has folded the log into the file when it is gone.
    while test.file().with_extension("db-wal").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let whole = std::fs::read(test.file()).unwrap();
    let mut torn = whole.clone();
    let middle = torn.len() / 2;
    torn[middle..middle + 4096].fill(0xff);
    for (bytes, says) in [
        (torn.as_slice(), "damaged"),
        (b"no database, but long enough for one".repeat(200).as_slice(), "can't open"),
    ] {
        std::fs::write(test.file(), bytes).unwrap();
        let error = Database::open(&test.url, MIGRATIONS).await.err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
    std::fs::write(test.file(), whole).unwrap();
    assert!(Database::open(&test.url, MIGRATIONS).await.is_ok(), "and the whole file still opens");
}

#[tokio::test]
async fn a_file_that_can_only_be_read_is_refused_at_the_start() {
    let test = TestDatabase::sqlite();
    drop(Database::open(&test.url, MIGRATIONS).await.unwrap());
    let read_only = format!("sqlite://{}?mode=ro", test.file().display()).into();
    const MORE: Migrations = Migrations {
        owner: "notes",
        sqlite: &[("notes", NOTES), ("more", "CREATE TABLE more (id BIGINT PRIMARY KEY)")],
        postgres: &[],
    };
    let error = Database::open(&read_only, MORE).await.err().expect("it can't be written");
    assert!(matches!(error, StoreError::Migrate(_) | StoreError::Open(_)), "{error:?}");
}
