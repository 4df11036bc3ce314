//! The writer on both databases: an answered write is committed, in groups, and a failing write fails alone.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use store::testing::TestDatabase;
use store::{Database, Dialect, Migrations, Session, StoreError};

const NOTES: &str = "CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT NOT NULL)";
const MIGRATIONS: Migrations =
    Migrations { owner: "notes", sqlite: &[("notes", NOTES)], postgres: &[("notes", NOTES)] };

async fn open(test: &TestDatabase) -> Database {
    Database::open(&test.url, MIGRATIONS).await.unwrap()
}

/// Writes a note with the time of its transaction, and counts its runs.
async fn write(database: &Database, id: i64, runs: Arc<AtomicUsize>) -> Result<i64, StoreError> {
    let note = async move |session: &Session<'_>| {
        runs.fetch_add(1, Ordering::SeqCst);
        let insert = "INSERT INTO notes (id, text) VALUES ($1, $2)";
        session.execute(insert, &[id.into(), session.now.to_string().into()]).await?;
        Ok(id)
    };
    database.write(note).await
}

async fn note(database: &Database, id: i64) -> Result<i64, StoreError> {
    write(database, id, Arc::default()).await
}

async fn notes(database: &Database) -> Vec<(i64, String)> {
    let select = "SELECT id, text FROM notes ORDER BY id";
    let rows = database.read(async move |session: &Session<'_>| session.query(select, &[]).await).await;
    rows.unwrap().into_iter().map(|mut row| (row.take().unwrap(), row.take().unwrap())).collect()
}

#[tokio::test]
async fn an_answered_write_is_read_and_survives_a_restart() {
    for test in TestDatabase::each().await {
        let database = open(&test).await;
        assert_eq!(note(&database, 7).await.unwrap(), 7);
        assert_eq!(notes(&database).await.len(), 1);
        drop(database);
        let database = open(&test).await;
        assert_eq!(notes(&database).await.len(), 1, "{:?}", database.dialect());
    }
}

#[tokio::test]
async fn waiting_writes_are_committed_together() {
    for test in TestDatabase::each().await {
        let database = open(&test).await;
        futures_util::future::try_join_all((0..1000).map(|id| note(&database, id))).await.unwrap();
        let notes = notes(&database).await;
        let groups: std::collections::HashSet<&String> = notes.iter().map(|(_, group)| group).collect();
        assert_eq!(notes.len(), 1000);
        assert!(groups.len() < 100, "{} groups of {:?}", groups.len(), database.dialect());
    }
}

#[tokio::test]
async fn a_write_that_fails_fails_alone() {
    for test in TestDatabase::each().await {
        let database = open(&test).await;
        note(&database, 3).await.unwrap();
        let writes = (0..10).map(|id| note(&database, id));
        let answers = futures_util::future::join_all(writes).await;
        let failed: Vec<usize> = (0..10).filter(|id| answers[*id].is_err()).collect();
        assert_eq!(failed, [3], "{:?}", database.dialect());
        assert!(answers[3].as_ref().unwrap_err().is_conflict());
        assert_eq!(notes(&database).await.len(), 10);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_undo_its_write() {
    for test in TestDatabase::each().await {
        let database = open(&test).await;
        let runs = Arc::<AtomicUsize>::default();
        let begun = tokio::time::timeout(Duration::ZERO, write(&database, 1, runs.clone())).await;
        drop(begun);
        // In order: when the second is answered, the first is committed, if it was handed in at all.
        note(&database, 2).await.unwrap();
        assert_eq!(notes(&database).await.len(), 1 + runs.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_group_is_answered_though_some_callers_have_gone() {
    for test in TestDatabase::each().await {
        let database = open(&test).await;
        let call = |id| {
            let database = database.clone();
            tokio::spawn(async move { note(&database, id).await })
        };
        let calls: Vec<_> = (0..60).map(call).collect();
        // All are queued by then, and few are answered.
        tokio::task::yield_now().await;
        calls.iter().skip(1).step_by(2).for_each(|gone| gone.abort());
        for (id, call) in (0..).zip(calls).step_by(2) {
            let answer = tokio::time::timeout(Duration::from_secs(10), call).await.unwrap();
            assert_eq!(answer.unwrap().unwrap(), id, "{:?}", database.dialect());
        }
    }
}

#[tokio::test]
async fn statements_and_commits_are_counted() {
    for test in TestDatabase::each().await {
        let (database, registry) = (open(&test).await, prometheus::Registry::new());
        database.register(&registry).unwrap();
        futures_util::future::try_join_all((0..50).map(|id| note(&database, id))).await.unwrap();
        let families = registry.gather();
        let value = |name| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            family.get_metric()[0].get_counter().get_value()
        };
        assert_eq!(value("store_statements_total"), 50.0);
        assert!((1.0..50.0).contains(&value("store_commits_total")), "{:?}", database.dialect());
        assert!(database.register(&registry).is_err(), "the names are taken");
    }
}

#[tokio::test]
async fn a_locked_file_refuses_in_time_and_is_used_once_free() {
    let test = TestDatabase::sqlite();
    let database = open(&test).await;
    let locked = test.lock();
    let begun = Instant::now();
    let error = note(&database, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)) && begun.elapsed() < Duration::from_secs(4), "{error:?}");
    drop(locked);
    note(&database, 1).await.unwrap();
    assert_eq!(notes(&database).await.len(), 1);
}

#[tokio::test]
async fn a_full_file_refuses_and_keeps_its_rows() {
    async fn large(database: &Database, id: i64) -> Result<(), StoreError> {
        let note = async move |session: &Session<'_>| {
            // The same error as of a full disk, and no disk has to be filled for it.
            session.query("PRAGMA max_page_count = 64", &[]).await?;
            let text = "x".repeat(64 * 1024);
            let insert = "INSERT INTO notes (id, text) VALUES ($1, $2)";
            session.execute(insert, &[id.into(), text.as_str().into()]).await?;
            Ok(())
        };
        database.write(note).await
    }
    let test = TestDatabase::sqlite();
    let database = open(&test).await;
    let mut kept = 0;
    let error = loop {
        match large(&database, kept).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StoreError::Refused(error) if error.to_string().contains("full")), "{error:?}");
    assert_eq!(notes(&database).await.len(), usize::try_from(kept).unwrap());
    assert_eq!(note(&database, 1000).await.unwrap(), 1000, "a small one still fits");
}

#[tokio::test]
async fn a_server_that_ends_sessions_is_connected_to_again() {
    let test = TestDatabase::postgres().await;
    let database = open(&test).await;
    note(&database, 1).await.unwrap();
    test.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    .await;
    // It ends soon, not at once: in between, a write may still be told.
    let _ = note(&database, 2).await;
    while let Err(error) = note(&database, 3).await {
        assert!(matches!(error, StoreError::Unknown(_) | StoreError::Refused(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_with_the_remedy() {
    let test = TestDatabase::sqlite();
    let database = open(&test).await;
    for id in 0..2000 {
        note(&database, id).await.unwrap();
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
        (b"no database, but long enough for one".repeat(200).as_slice(), "cannot open"),
    ] {
        std::fs::write(test.file(), bytes).unwrap();
        let error = Database::open(&test.url, MIGRATIONS).await.err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
    }
    std::fs::write(test.file(), whole).unwrap();
    assert!(Database::open(&test.url, MIGRATIONS).await.is_ok(), "and the whole file still opens");
}
