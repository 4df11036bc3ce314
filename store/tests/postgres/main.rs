//! PostgreSQL that is slow, lost, read-only or behind a proxy.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod notes;
mod pooler;
mod proxy;
mod stopped;

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all, try_join_all};
use notes::MIGRATIONS;
use pooler::Pooler;
use proxy::{Mode, Proxy};
use secrecy::ExposeSecret;
use stopped::Replica;
use store::testing::TestDatabase;
use store::{Database, Session, StoreError};
use tokio::time::sleep;

async fn open(url: &str) -> Database {
    Database::open(&url.into(), MIGRATIONS).await.unwrap()
}

/// A database, and a proxy that leads to it.
async fn behind_a_proxy() -> (TestDatabase, Proxy, Database) {
    let test = TestDatabase::postgres().await;
    let proxy = Proxy::before(test.url.expose_secret()).await;
    let database = open(&proxy.url).await;
    (test, proxy, database)
}

async fn note(database: &Database, id: i64) -> Result<(), StoreError> {
    let write = async move |session: &Session<'_>| {
        session.execute("INSERT INTO notes (id, text) VALUES ($1, 'x')", &[id.into()]).await.map(drop)
    };
    database.write(write).await
}

async fn count(database: &Database) -> Result<i64, StoreError> {
    let count = async |session: &Session<'_>| {
        session.query("SELECT count(*) FROM notes", &[]).await?.remove(0).take()
    };
    database.read(count).await
}

async fn setting(database: &Database, name: &'static str) -> String {
    let show = async move |session: &Session<'_>| {
        session.query("SELECT current_setting($1)", &[name.into()]).await?.remove(0).take()
    };
    database.write(show).await.unwrap()
}

#[tokio::test]
async fn a_session_of_a_stopped_process_ends_within_bounds() {
    let test = TestDatabase::postgres().await;
    let database = open(test.url.expose_secret()).await;
    assert_eq!(setting(&database, "lock_timeout").await, "1s");
    assert_eq!(setting(&database, "idle_in_transaction_session_timeout").await, "10s");

    let stopped = Replica::stopped_within_its_write(test.url.expose_secret(), 7);
    let begun = Instant::now();
    let answers = join_all((0..50).map(|id| note(&database, id))).await;
    let refused: Vec<usize> = (0..50).filter(|id| answers[*id].is_err()).collect();
    assert_eq!(refused, [7]);
    assert!(begun.elapsed() < Duration::from_secs(14), "{:?}", begun.elapsed());
    while note(&database, 7).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(15), "the row is still held");
    }
    drop(stopped);
    assert_eq!(count(&database).await.unwrap(), 50);
}

#[tokio::test]
async fn a_session_that_became_read_only_is_replaced() {
    let test = TestDatabase::postgres().await;
    let database = open(test.url.expose_secret()).await;
    let demote = async |session: &Session<'_>| {
        session.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", &[]).await
    };
    database.write(demote).await.unwrap();
    note(&database, 1).await.unwrap();
    assert_eq!(count(&database).await.unwrap(), 1);
}

#[tokio::test]
async fn a_host_that_is_away_or_read_only_is_passed_over() {
    let test = TestDatabase::postgres().await;
    let (credentials, rest) = test.url.expose_secret().rsplit_once('@').unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    // Nothing listens on the first.
    let url = format!("{credentials}@127.0.0.1:1,{host}/{name}?target_session_attrs=read-write");
    note(&open(&url).await, 1).await.unwrap();

    test.execute(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on")).await;
    let error = Database::open(&test.url, MIGRATIONS).await.err().expect("it allows no writes");
    assert!(matches!(error, StoreError::Open(_)), "{error:?}");
}

#[tokio::test]
async fn a_group_costs_round_trips_and_not_one_a_write() {
    let (_test, proxy, database) = behind_a_proxy().await;
    proxy.set(Mode::Forward(Duration::from_millis(20)));
    let begun = Instant::now();
    try_join_all((0..256).map(|id| note(&database, id))).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_group_that_is_late_is_divided() {
    let test = TestDatabase::postgres().await;
    let database = open(test.url.expose_secret()).await;
    let slow = |id: i64| {
        let database = database.clone();
        async move {
            let write = async move |session: &Session<'_>| {
                session.query("SELECT pg_sleep(0.05)::TEXT", &[]).await?;
                session.execute("INSERT INTO notes (id, text) VALUES ($1, 'x')", &[id.into()]).await
            };
            database.write(write).await
        }
    };
    // All of them in one group would take 6.4 s.
    try_join_all((0..128).map(slow)).await.unwrap();
    assert_eq!(count(&database).await.unwrap(), 128);
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_connected_to_again() {
    let (_test, proxy, database) = behind_a_proxy().await;
    note(&database, 1).await.unwrap();
    assert_eq!(count(&database).await.unwrap(), 1);
    let before = proxy.connections();
    proxy.set(Mode::Hang);
    let begun = Instant::now();
    let (written, read) = join(note(&database, 2), count(&database)).await;
    assert!(matches!(written.unwrap_err(), StoreError::Refused(_)));
    assert!(matches!(read.unwrap_err(), StoreError::Refused(_)));
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(database.check().is_err(), "not ready, with the reason");
    proxy.set(Mode::Forward(Duration::ZERO));
    sleep(Duration::from_millis(100)).await;
    note(&database, 3).await.unwrap();
    // The hanging server may get the statements late; the transaction never commits.
    assert_eq!(count(&database).await.unwrap(), 2);
    assert!(proxy.connections() >= before + 2, "late connections are not used again");
    database.check().unwrap();
}

#[tokio::test]
async fn a_commit_that_a_proxy_lost_is_unknown() {
    let (_test, proxy, database) = behind_a_proxy().await;
    proxy.set(Mode::LoseCommit);
    let error = note(&database, 1).await.unwrap_err();
    assert!(matches!(error, StoreError::Unknown(_)), "{error:?}");
    proxy.set(Mode::Forward(Duration::ZERO));
    note(&database, 2).await.unwrap();
}

#[tokio::test]
async fn a_write_that_panics_or_hides_an_error_commits_nothing() {
    let test = TestDatabase::postgres().await;
    let database = open(test.url.expose_secret()).await;
    let hides = async |session: &Session<'_>| {
        let _ = session.execute("INSERT INTO nothing (id) VALUES (1)", &[]).await;
        Ok(())
    };
    let panics = async |_: &Session<'_>| -> Result<(), StoreError> { panic!("on purpose") };
    let (hidden, panicked) = join(database.write(hides), database.write(panics)).await;
    assert!(matches!(hidden.unwrap_err(), StoreError::Refused(_)));
    assert!(matches!(panicked.unwrap_err(), StoreError::Panicked));
    note(&database, 1).await.unwrap();
}

#[tokio::test]
async fn a_pooler_may_lend_a_session_for_each_transaction() {
    let test = TestDatabase::postgres().await;
    let pooler = Pooler::before(test.url.expose_secret()).await;
    for round in 0..2 {
        // Replicas that start at once, on a new schema and on an old one.
        let replicas = join_all([(); 3].map(|()| open(&pooler.url))).await;
        let ids = (round * 150..).take(150);
        let writes = ids.clone().map(|id| note(&replicas[usize::try_from(id).unwrap() % 3], id));
        let reads = replicas.iter().map(count);
        let (written, read) = join(try_join_all(writes), try_join_all(reads)).await;
        written.unwrap();
        read.unwrap();
        assert_eq!(count(&replicas[0]).await.unwrap(), (round + 1) * 150);
        let again = join_all(ids.map(|id| note(&replicas[0], id))).await;
        assert!(again.iter().all(|answer| answer.as_ref().is_err_and(StoreError::is_conflict)));
    }
}
