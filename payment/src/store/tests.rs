//! Payments, keys and the outbox on both databases.

use std::time::Duration;

use payment_api::http::{EventState, Outcome};
use payment_api::{Currency, Money};
use store::sqlx::{Connection, raw_sql};
use store::testing::TestDatabase;
use telemetry::propagation::TraceContext;
use time::OffsetDateTime;

use super::*;

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
        assert_eq!((store.pending(), store.count_pending().await.unwrap()), (1, 1));
    }
}

#[actix_rt::test]
async fn an_event_that_cant_be_stored_takes_its_payment_with_it() {
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
async fn a_claimed_event_is_nobody_elses_until_its_lease_ends() {
    for (store, _database) in each().await {
        let settlement = settlement("k");
        store.settle(settlement.clone()).await.unwrap();
        let claimed = store.claim(10, LEASE).await.unwrap();
        assert_eq!((claimed.events.len(), claimed.events[0].id), (1, settlement.event.id));
        assert_eq!(store.claim(10, LEASE).await.unwrap().events.len(), 0);

        store.finish(claimed, vec![settlement.event.id]).await.unwrap();
        assert_eq!(store.claim(10, Duration::ZERO).await.unwrap().events.len(), 1);
        assert_eq!(store.claim(10, LEASE).await.unwrap().events.len(), 1);
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
        let claimed: Vec<Uuid> = claimed.events.iter().map(|event| event.id).collect();
        assert_eq!(claimed, ids[..3]);
    }
}

#[actix_rt::test]
async fn a_published_event_is_done() {
    for (store, _database) in each().await {
        let settlement = settlement("k");
        store.settle(settlement.clone()).await.unwrap();
        let window = store.claim(10, LEASE).await.unwrap();
        assert_eq!(store.finish(window, Vec::new()).await.unwrap(), 1);
        assert_eq!(store.claim(10, LEASE).await.unwrap().events.len(), 0);
        assert_eq!(store.count_pending().await.unwrap(), 0);
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
async fn who_slept_past_his_lease_does_not_mark_what_is_somebody_elses_by_now() {
    for (store, _database) in each().await {
        store.settle(settlement("k")).await.unwrap();
        let slept = store.claim(10, Duration::ZERO).await.unwrap();
        let awake = store.claim(10, LEASE).await.unwrap();
        assert_eq!(store.finish(slept, Vec::new()).await.unwrap(), 0);
        assert_eq!(store.count_pending().await.unwrap(), 1);
        assert_eq!(store.finish(awake, Vec::new()).await.unwrap(), 1);
    }
}

#[actix_rt::test]
async fn replicas_share_one_outbox_without_claiming_anything_twice() {
    let database = TestDatabase::postgres().await;
    let replicas = [Store::open(&database.url).await.unwrap(), Store::open(&database.url).await.unwrap()];
    for number in 0..60 {
        replicas[number % 2].settle(settlement(&format!("k{number}"))).await.unwrap();
    }
    let claims = (0..20).map(|number| replicas[number % 2].claim(5, LEASE));
    let windows = futures_util::future::try_join_all(claims).await.unwrap();
    let ids: Vec<Uuid> = windows.iter().flat_map(|window| &window.events).map(|event| event.id).collect();
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
    assert_eq!(replicas[0].count_pending().await.unwrap(), 10);
}

#[actix_rt::test]
async fn a_key_is_kept_for_a_day_and_a_published_event_too() {
    for (store, database) in each().await {
        let (published, pending) = (settlement("k1"), settlement("k2"));
        store.settle(published.clone()).await.unwrap();
        let window = store.claim(1, LEASE).await.unwrap();
        store.finish(window, Vec::new()).await.unwrap();
        store.settle(pending.clone()).await.unwrap();
        store.forget_old().await.unwrap();
        assert!(store.find_by_key("k1").await.unwrap().is_some(), "it is not old yet");

        let mut connection = store::sqlx::AnyConnection::connect(url_of(&database)).await.unwrap();
        let day = 24 * 60 * 60 * 1000;
        for aged in [
            format!("UPDATE idempotency SET created_at = created_at - {day}"),
            format!("UPDATE outbox SET published_at = published_at - {day}, created_at = created_at - {day}"),
        ] {
            raw_sql(store::sqlx::AssertSqlSafe(aged)).execute(&mut connection).await.unwrap();
        }
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

fn url_of(database: &TestDatabase) -> &str {
    secrecy::ExposeSecret::expose_secret(&database.url)
}

#[actix_rt::test]
async fn a_restart_ends_the_lease_of_the_dead() {
    let database = TestDatabase::sqlite();
    let store = Store::open(&database.url).await.unwrap();
    store.settle(settlement("k")).await.unwrap();
    store.claim(10, LEASE).await.unwrap();
    drop(store);
    let store = Store::open(&database.url).await.unwrap();
    assert_eq!(store.claim(10, LEASE).await.unwrap().events.len(), 1);
}
