//! Payments, keys and the outbox on both databases.

use std::time::Duration;

use payment_api::http::{EventState, Outcome};
use payment_api::{Currency, Money};
use store::testing::TestDatabase;
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;

use super::*;

mod growth;

const LEASE: Duration = Duration::from_secs(60);

/// What holds for one database must hold for the other.
async fn each() -> [(Store, TestDatabase); 2] {
    let [sqlite, postgres] = TestDatabase::each().await;
    [(Store::open(&sqlite.url).await.unwrap(), sqlite), (Store::open(&postgres.url).await.unwrap(), postgres)]
}

fn settlement(key: &str) -> Settlement {
    let amount = Money::parse("12.34", Currency::Eur).unwrap();
    let order_id = Uuid::now_v7();
    // The file keeps milliseconds.
    let settled_at = OffsetDateTime::now_utc().replace_nanosecond(7_000_000).unwrap();
    Settlement {
        payment: Payment {
            order_id,
            outcome: Outcome::Succeeded,
            reason: None,
            amount: amount.to_string(),
            currency: Currency::Eur,
            settled_at,
            trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
            event: EventState::Pending,
        },
        amount,
        idempotency_key: key.to_owned(),
        fingerprint: "f1".into(),
        event: OutboxEvent {
            id: Uuid::now_v7(),
            order_id,
            routing_key: "payment.succeeded".into(),
            payload: b"{}".to_vec(),
            trace_context: TraceContext::default(),
        },
    }
}

#[actix_rt::test]
async fn a_settlement_survives_a_restart() {
    for (store, database) in each().await {
        let settlement = settlement("k");
        assert!(store.settle(settlement.clone()).await.unwrap().is_none());
        drop(store);
        let store = Store::open(&database.url).await.unwrap();
        let payment = store.find(settlement.payment.order_id).await.unwrap().unwrap();
        assert_eq!(payment, settlement.payment);
        assert_eq!(store.find(Uuid::now_v7()).await.unwrap(), None);
        assert_eq!(store.pending(), 1);
    }
}

#[actix_rt::test]
async fn one_key_has_one_payment_and_one_event() {
    for (store, _database) in each().await {
        let (first, second) = (settlement("k"), settlement("k"));
        store.settle(first.clone()).await.unwrap();
        let known = store.settle(second.clone()).await.unwrap().expect("the key is known");
        assert_eq!(known.payment, first.payment);
        assert_eq!(known.fingerprint, "f1");
        assert_eq!(store.find(second.payment.order_id).await.unwrap(), None);
        assert_eq!((store.pending(), store.backlog().await.unwrap().pending), (1, 1));
    }
}

#[actix_rt::test]
async fn an_event_that_fails_to_commit_rolls_its_payment_back() {
    for (store, _database) in each().await {
        let first = settlement("k1");
        store.settle(first.clone()).await.unwrap();
        let mut second = settlement("k2");
        second.event.id = first.event.id;
        assert!(store.settle(second.clone()).await.is_err_and(|error| error.is_conflict()));
        assert_eq!(store.find(second.payment.order_id).await.unwrap(), None);
        assert!(store.find_by_key("k2").await.unwrap().is_none());
    }
}

#[actix_rt::test]
async fn a_claimed_event_is_claimed_again_after_its_lease() {
    for (store, _database) in each().await {
        let settlement = settlement("k");
        store.settle(settlement.clone()).await.unwrap();
        let claimed = store.claim(10, LEASE).await.unwrap();
        assert_eq!((claimed.items.len(), claimed.items[0].id), (1, settlement.event.id));
        assert_eq!(store.claim(10, LEASE).await.unwrap().items.len(), 0);

        store.finish(claimed, vec![settlement.event.id]).await.unwrap();
        assert_eq!(store.claim(10, Duration::ZERO).await.unwrap().items.len(), 1);
        assert_eq!(store.claim(10, LEASE).await.unwrap().items.len(), 1);
    }
}

#[actix_rt::test]
async fn events_are_claimed_oldest_first() {
    for (store, _database) in each().await {
        let mut ids = Vec::new();
        for number in 0..5 {
            let mut settlement = settlement(&format!("k{number}"));
            settlement.payment.settled_at += Duration::from_millis(number);
            ids.push(settlement.event.id);
            store.settle(settlement).await.unwrap();
        }
        let claimed = store.claim(3, LEASE).await.unwrap();
        let claimed: Vec<Uuid> = claimed.items.iter().map(|event| event.id).collect();
        assert_eq!(claimed, ids[..3]);
    }
}

#[actix_rt::test]
async fn a_published_event_is_not_claimed_again() {
    for (store, _database) in each().await {
        let settlement = settlement("k");
        store.settle(settlement.clone()).await.unwrap();
        let window = store.claim(10, LEASE).await.unwrap();
        assert_eq!(store.finish(window, Vec::new()).await.unwrap(), 1);
        assert_eq!(store.claim(10, LEASE).await.unwrap().items.len(), 0);
        assert_eq!(store.backlog().await.unwrap().pending, 0);
        let payment = store.find(settlement.payment.order_id).await.unwrap().unwrap();
        assert_eq!(payment.event, EventState::Published);
    }
}

#[actix_rt::test]
async fn the_backlog_is_as_old_as_its_oldest_event() {
    for (store, _database) in each().await {
        assert_eq!(store.backlog().await.unwrap(), Backlog { pending: 0, oldest_age: Duration::ZERO });
        for (key, age) in [("k1", 5), ("k2", 90), ("k3", 0)] {
            let mut settlement = settlement(key);
            settlement.payment.settled_at -= Duration::from_secs(age);
            store.settle(settlement).await.unwrap();
        }
        let Backlog { pending, oldest_age } = store.backlog().await.unwrap();
        assert_eq!(pending, 3);
        assert!((90..150).contains(&oldest_age.as_secs()), "{oldest_age:?}");
    }
}

#[actix_rt::test]
async fn an_expired_lease_marks_nothing() {
    for (store, _database) in each().await {
        store.settle(settlement("k")).await.unwrap();
        let slept = store.claim(10, Duration::ZERO).await.unwrap();
        let awake = store.claim(10, LEASE).await.unwrap();
        assert_eq!(store.finish(slept, Vec::new()).await.unwrap(), 0);
        assert_eq!(store.backlog().await.unwrap().pending, 1);
        assert_eq!(store.finish(awake, Vec::new()).await.unwrap(), 1);
    }
}

#[actix_rt::test]
async fn replicas_claim_each_event_once() {
    let database = TestDatabase::postgres().await;
    let replicas = [Store::open(&database.url).await.unwrap(), Store::open(&database.url).await.unwrap()];
    for number in 0..60 {
        replicas[number % 2].settle(settlement(&format!("k{number}"))).await.unwrap();
    }
    let claims = (0..20).map(|number| replicas[number % 2].claim(5, LEASE));
    let windows = futures_util::future::try_join_all(claims).await.unwrap();
    let ids: Vec<Uuid> = windows.iter().flat_map(|window| &window.items).map(|event| event.id).collect();
    let distinct: std::collections::HashSet<&Uuid> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (60, 60));
}

#[actix_rt::test]
async fn two_replicas_with_one_key_at_once_settle_one_payment() {
    let database = TestDatabase::postgres().await;
    let replicas = [Store::open(&database.url).await.unwrap(), Store::open(&database.url).await.unwrap()];
    for round in 0..10 {
        let key = format!("k{round}");
        let (first, second) = (settlement(&key), settlement(&key));
        let both = [replicas[0].settle(first), replicas[1].settle(second)];
        let answers = futures_util::future::try_join_all(both).await.unwrap();
        assert_eq!(answers.iter().filter(|known| known.is_none()).count(), 1, "in round {round}");
    }
    assert_eq!(replicas[0].backlog().await.unwrap().pending, 10);
}

#[actix_rt::test]
async fn keys_and_published_events_are_kept_for_a_day() {
    for (store, database) in each().await {
        let (published, pending) = (settlement("k1"), settlement("k2"));
        store.settle(published.clone()).await.unwrap();
        let window = store.claim(1, LEASE).await.unwrap();
        store.finish(window, Vec::new()).await.unwrap();
        store.settle(pending.clone()).await.unwrap();
        store.forget_old().await.unwrap();
        assert!(store.find_by_key("k1").await.unwrap().is_some(), "it is not old yet");

        let day = 24 * 60 * 60 * 1000;
        database
            .execute(&format!(
                "UPDATE idempotency SET created_at = created_at - {day}; \
                 UPDATE outbox SET published_at = published_at - {day}, created_at = created_at - {day}"
            ))
            .await;
        assert!(store.find_by_key("k1").await.unwrap().is_none(), "too old to count, if not yet gone");
        assert!(store.settle(settlement("k1")).await.unwrap().is_none(), "the key is free again");
        store.forget_old().await.unwrap();
        assert!(store.find_by_key("k2").await.unwrap().is_none());
        let found = store.find(published.payment.order_id).await.unwrap().unwrap();
        assert_eq!(found.event, EventState::Published, "the payment stays");
        let found = store.find(pending.payment.order_id).await.unwrap().unwrap();
        assert_eq!(found.event, EventState::Pending, "what has not left is kept, however old");
    }
}

#[actix_rt::test]
async fn a_restart_on_a_file_ends_the_leases() {
    let database = TestDatabase::sqlite();
    let store = Store::open(&database.url).await.unwrap();
    store.settle(settlement("k")).await.unwrap();
    store.claim(10, LEASE).await.unwrap();
    drop(store);
    let store = Store::open(&database.url).await.unwrap();
    assert_eq!(store.claim(10, LEASE).await.unwrap().items.len(), 1);
}

#[actix_rt::test]
async fn an_undecodable_event_is_set_aside_and_the_others_flow() {
    for (store, database) in each().await {
        let (bad, worse, good) = (settlement("k1"), settlement("k2"), settlement("k3"));
        for settlement in [&bad, &worse, &good] {
            store.settle(settlement.clone()).await.unwrap();
        }
        let cut = if database.is_file() { "x'7b'" } else { "'\\x7b'" };
        for (column, value, event) in [("trace_context", "'{'", &bad), ("payload", cut, &worse)] {
            let id = event.event.id;
            let broken = format!("UPDATE outbox SET {column} = {value} WHERE event_id = '{id}'");
            database.execute(&broken).await;
        }
        let window = store.claim(10, LEASE).await.unwrap();
        let ids: Vec<Uuid> = window.items.iter().map(|event| event.id).collect();
        assert_eq!((ids, store.pending()), (vec![good.event.id], 1));
        let keys: Vec<&str> = window.set_aside.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, [bad.event.id.to_string(), worse.event.id.to_string()]);
        assert!(window.set_aside.iter().all(|row| row.reason.contains("EOF")), "{:?}", window.set_aside);
        store.finish(window, Vec::new()).await.unwrap();
        assert_eq!(store.claim(10, LEASE).await.unwrap().set_aside.len(), 0);
        assert_eq!(store.backlog().await.unwrap().pending, 0);
    }
}

#[actix_rt::test]
async fn the_number_of_pending_events_is_kept_without_a_query() {
    for (store, _database) in each().await {
        for number in 0..5 {
            store.settle(settlement(&format!("k{number}"))).await.unwrap();
        }
        store.settle(settlement("k0")).await.unwrap();
        assert_eq!(store.pending(), 5);
        let window = store.claim(3, LEASE).await.unwrap();
        let unconfirmed = vec![window.items[0].id];
        store.finish(window, unconfirmed).await.unwrap();
        assert_eq!((store.pending(), store.backlog().await.unwrap().pending), (3, 3));
    }
}

#[actix_rt::test]
async fn a_lease_that_a_clock_step_left_in_the_future_ends() {
    let database = TestDatabase::sqlite();
    let store = Store::open(&database.url).await.unwrap();
    store.settle(settlement("k")).await.unwrap();
    store.claim(10, LEASE).await.unwrap();
    // As if the clock had been set back by three hours since.
    database.execute("UPDATE outbox SET leased_until = leased_until + 3 * 60 * 60 * 1000").await;
    assert_eq!(store.claim(10, LEASE).await.unwrap().items.len(), 1);
    assert_eq!(store.claim(10, LEASE).await.unwrap().items.len(), 0);
}

/// The schema and a row of version 0.1, which sqlx migrated.
fn earlier(sqlite: bool) -> String {
    let id = "01890000-0000-7000-8000-000000000001";
    let table = |name: &str, time: &str, bytes: &str| {
        format!(
            "CREATE TABLE {name} (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
             installed_on {time} NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
             checksum {bytes} NOT NULL, execution_time BIGINT NOT NULL);"
        )
    };
    let rows = format!(
        "INSERT INTO payments VALUES ('{id}', 'succeeded', NULL, 1234, 'EUR', NULL, 1790000000000); \
         INSERT INTO idempotency VALUES ('k', 'f1', '{id}', 4102444800000); \
         INSERT INTO outbox VALUES ('{id}', '{id}', 'payment.succeeded', '{{}}', '{{}}', 1790000000000, 1, 'l', 7, NULL);"
    );
    if sqlite {
        let steps = MIGRATIONS.sqlite[..2].iter().map(|(_, sql)| *sql).collect::<String>();
        let done = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (1, 'payments and outbox', 1, x'00', 1), (2, 'idempotency and fencing', 1, x'00', 1);";
        let rows = rows.replace("'{}', '{}'", "x'7b7d', '{}'");
        table("_sqlx_migrations", "TIMESTAMP", "BLOB") + &steps + done + &rows
    } else {
        let done = "INSERT INTO payment_migrations (version, description, success, checksum, execution_time) \
             VALUES (1, 'payments, idempotency, outbox', true, '\\x00', 1);";
        table("payment_migrations", "TIMESTAMPTZ", "BYTEA") + MIGRATIONS.postgres[0].1 + done + &rows
    }
}

#[actix_rt::test]
async fn a_database_of_version_0_1_opens_with_its_rows() {
    for (database, is_sqlite) in [(TestDatabase::sqlite(), true), (TestDatabase::postgres().await, false)] {
        database.execute(&earlier(is_sqlite)).await;
        let store = Store::open(&database.url).await.unwrap();
        let known = store.find_by_key("k").await.unwrap().expect("the key is kept");
        assert_eq!((known.fingerprint.as_str(), known.payment.amount.as_str()), ("f1", "12.34"));
        assert_eq!((known.payment.event, store.pending()), (EventState::Pending, 1));
        let window = store.claim(10, LEASE).await.unwrap();
        assert_eq!(window.items[0].payload, b"{}");
        store.settle(settlement("k2")).await.unwrap();
        drop(store);
        assert_eq!(Store::open(&database.url).await.unwrap().pending(), 2, "and again");
    }
}
