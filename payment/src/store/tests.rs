//! Payments and the outbox against a real SQLite file.

use payment_api::Currency;
use tempfile::TempDir;

use super::*;

const LEASE: Duration = Duration::from_secs(60);

async fn store() -> (Store, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (open(&directory).await, directory)
}

async fn open(directory: &TempDir) -> Store {
    Store::open(&format!("sqlite://{}", directory.path().join("new/payment.db").display())).await.unwrap()
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
    let (store, directory) = store().await;
    let settlement = settlement("k");
    assert!(store.settle(&settlement).await.unwrap().is_none());
    drop(store);
    let store = open(&directory).await;
    let payment = store.find(settlement.payment.order_id).await.unwrap().unwrap();
    assert_eq!(payment, settlement.payment);
    assert_eq!(store.find(Uuid::now_v7()).await.unwrap(), None);
}

#[actix_rt::test]
async fn one_key_has_one_payment_and_one_event() {
    let (store, _directory) = store().await;
    let (first, second) = (settlement("k"), settlement("k"));
    store.settle(&first).await.unwrap();
    let known = store.settle(&second).await.unwrap().expect("the key is known");
    assert_eq!(known.payment, first.payment);
    assert_eq!(known.fingerprint, "f1");
    assert_eq!(store.find(second.payment.order_id).await.unwrap(), None);
    assert_eq!(store.pending().await.unwrap(), 1);
}

#[actix_rt::test]
async fn an_event_that_cant_be_stored_takes_its_payment_with_it() {
    let (store, _directory) = store().await;
    let first = settlement("k1");
    store.settle(&first).await.unwrap();
    let mut second = settlement("k2");
    second.event.id = first.event.id;
    assert!(store.settle(&second).await.is_err());
    assert_eq!(store.find(second.payment.order_id).await.unwrap(), None);
    assert!(store.find_by_key("k2").await.unwrap().is_none());
}

#[actix_rt::test]
async fn a_claimed_event_is_nobody_elses_until_its_lease_ends() {
    let (store, _directory) = store().await;
    let settlement = settlement("k");
    store.settle(&settlement).await.unwrap();
    let claimed = store.claim(10, LEASE).await.unwrap();
    assert_eq!((claimed.len(), claimed[0].id), (1, settlement.event.id));
    assert_eq!(store.claim(10, LEASE).await.unwrap().len(), 0);

    store.release(&[settlement.event.id]).await.unwrap();
    assert_eq!(store.claim(10, Duration::ZERO).await.unwrap().len(), 1);
    assert_eq!(store.claim(10, LEASE).await.unwrap().len(), 1);
}

#[actix_rt::test]
async fn events_are_claimed_oldest_first() {
    let (store, _directory) = store().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let mut settlement = settlement(&format!("k{number}"));
        settlement.payment.settled_at += Duration::from_millis(number);
        ids.push(settlement.event.id);
        store.settle(&settlement).await.unwrap();
    }
    let claimed: Vec<Uuid> = store.claim(3, LEASE).await.unwrap().iter().map(|event| event.id).collect();
    assert_eq!(claimed, ids[..3]);
}

#[actix_rt::test]
async fn a_published_event_is_done() {
    let (store, _directory) = store().await;
    let settlement = settlement("k");
    store.settle(&settlement).await.unwrap();
    store.claim(10, Duration::ZERO).await.unwrap();
    store.mark_published(&[settlement.event.id]).await.unwrap();
    assert_eq!(store.claim(10, LEASE).await.unwrap().len(), 0);
    assert_eq!(store.pending().await.unwrap(), 0);
    let payment = store.find(settlement.payment.order_id).await.unwrap().unwrap();
    assert_eq!(payment.event, EventState::Published);
}

#[actix_rt::test]
async fn what_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("payment.db");
    std::fs::write(&file, "not a database, but long enough to look like one".repeat(100)).unwrap();
    let file = format!("sqlite://{}", file.display());
    for url in [&file, "postgres://localhost/payment", "sqlite::memory:", "sqlite://", "payment.db"] {
        assert!(Store::open(url).await.is_err(), "{url}");
    }
}

#[actix_rt::test]
async fn a_restart_ends_the_lease_of_the_dead() {
    let (store, directory) = store().await;
    store.settle(&settlement("k")).await.unwrap();
    store.claim(10, LEASE).await.unwrap();
    drop(store);
    assert_eq!(open(&directory).await.claim(10, LEASE).await.unwrap().len(), 1);
}
