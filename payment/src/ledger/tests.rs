//! The ledger with a real store; the publisher is a probe that counts its messages.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use payment_api::event::PaymentEvent;
use payment_api::http::Outcome;
use payment_api::{Currency, Customer, Email, Item};
use store::testing::TestDatabase;
use telemetry::testing::Capture;

use super::*;

struct Probe(Arc<AtomicUsize>);

impl Actor for Probe {
    type Context = Context<Self>;
}

impl Handler<RelayEvents> for Probe {
    type Result = ();

    fn handle(&mut self, _: RelayEvents, _: &mut Self::Context) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Fixture {
    ledger: Addr<Ledger>,
    store: Store,
    told: Arc<AtomicUsize>,
    seen: Capture,
    _database: TestDatabase,
}

async fn fixture(rules: Rules) -> Fixture {
    let database = TestDatabase::sqlite();
    let store = Store::open(&database.url).await.unwrap();
    let told = Arc::new(AtomicUsize::new(0));
    let probe = Probe(told.clone()).start();
    let seen = Capture::start();
    let metrics = Metrics::register(seen.registry()).unwrap();
    let ledger = Ledger::new(store.clone(), rules, probe.recipient(), metrics, &seen.log()).start();
    Fixture { ledger, store, told, seen, _database: database }
}

impl Fixture {
    async fn settle(&self, payment: NewPayment, key: &str) -> Result<Payment, SettleError> {
        self.ledger.send(Traced::new(SettlePayment { payment, idempotency_key: key.into() })).await.unwrap()
    }

    fn counted(&self, outcome: &str) -> f64 {
        self.seen.metric(&format!("payment_processed_total{{outcome=\"{outcome}\"}}"))
    }
}

const PERFECT: Simulation = Simulation { latency: Duration::ZERO, decline_rate: 0.0, failure_rate: 0.0 };

fn slow(milliseconds: u64) -> Simulation {
    Simulation { latency: Duration::from_millis(milliseconds), ..PERFECT }
}

fn rules() -> Rules {
    Rules { simulation: PERFECT, limit: 100, max_in_flight: 100, outbox_limit: 100 }
}

fn new_payment(amount: &str) -> NewPayment {
    NewPayment {
        order_id: Uuid::now_v7(),
        customer: Customer { email: Email::parse("ada@example.com").unwrap() },
        items: vec![Item { sku: "BOOK".into(), quantity: 1, unit_price: amount.into() }],
        amount: amount.into(),
        currency: Currency::Usd,
    }
}

#[actix_rt::test]
async fn a_settled_payment_is_told_to_the_publisher() {
    let fixture = fixture(rules()).await;
    let payment = fixture.settle(new_payment("5.00"), "k").await.unwrap();
    assert_eq!(payment.outcome, Outcome::Succeeded);
    assert_eq!(fixture.told.load(Ordering::SeqCst), 1);
    let window = fixture.store.claim(1, Duration::ZERO).await.unwrap();
    let event = &window.items[0];
    assert_eq!(event.routing_key, "payment.succeeded");
    let event: PaymentEvent = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!((event.data.order_id, event.data.amount.as_str()), (payment.order_id, "5.00"));
}

#[actix_rt::test]
async fn a_retry_returns_the_first_decision() {
    let fixture = fixture(rules()).await;
    let new = new_payment("5.00");
    let first = fixture.settle(new.clone(), "k").await.unwrap();
    let retry = NewPayment { order_id: Uuid::now_v7(), ..new };
    assert_eq!(fixture.settle(retry, "k").await.unwrap().order_id, first.order_id);
    assert_eq!((fixture.counted("succeeded"), fixture.store.pending()), (1.0, 1));
}

#[actix_rt::test]
async fn of_twenty_at_once_with_one_key_one_is_settled() {
    let fixture = fixture(Rules { simulation: slow(20), ..rules() }).await;
    let new = new_payment("5.00");
    let all = (0..20).map(|_| fixture.settle(NewPayment { order_id: Uuid::now_v7(), ..new.clone() }, "k"));
    let answers = futures_util::future::join_all(all).await;
    let (settled, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(others.iter().all(|answer| matches!(answer, Err(SettleError::InProgress))), "{others:?}");
    assert_eq!((settled.len(), fixture.counted("succeeded")), (1, 1.0));
    let order = settled[0].as_ref().unwrap().order_id;
    assert_eq!(fixture.settle(new, "k").await.unwrap().order_id, order, "and later it is repeated");
}

#[actix_rt::test]
async fn an_order_has_one_payment_under_any_key() {
    let fixture = fixture(rules()).await;
    let new = new_payment("5.00");
    fixture.settle(new.clone(), "k1").await.unwrap();
    assert!(matches!(fixture.settle(new, "k2").await, Err(SettleError::OrderKnown)));
    assert_eq!(fixture.store.pending(), 1);
}

#[actix_rt::test]
async fn a_full_outbox_refuses_new_payments_and_repeats_old_ones() {
    let fixture = fixture(Rules { outbox_limit: 2, ..rules() }).await;
    let first = new_payment("5.00");
    fixture.settle(first.clone(), "a").await.unwrap();
    fixture.settle(new_payment("5.00"), "b").await.unwrap();
    assert!(matches!(fixture.settle(new_payment("5.00"), "c").await, Err(SettleError::OutboxFull)));
    assert!(fixture.settle(first, "a").await.is_ok());
    let window = fixture.store.claim(1, Duration::from_secs(60)).await.unwrap();
    fixture.store.finish(window, Vec::new()).await.unwrap();
    assert!(fixture.settle(new_payment("5.00"), "c").await.is_ok(), "there is room again");
}

#[actix_rt::test]
async fn a_retry_of_the_gateway_is_repeated_where_others_are_refused() {
    let fixture = fixture(Rules { outbox_limit: 1, ..rules() }).await;
    let new = new_payment("5.00");
    let key = order_key(new.order_id);
    let first = fixture.settle(new.clone(), &key).await.unwrap();
    let again = fixture.settle(new.clone(), &key).await.unwrap();
    assert_eq!(again.order_id, first.order_id, "while the outbox is full");
    let broken = Simulation { failure_rate: 1.0, ..PERFECT };
    fixture.ledger.send(Traced::new(ChangeSimulation(broken))).await.unwrap();
    let again = fixture.settle(new, &key).await.unwrap();
    assert_eq!(again.order_id, first.order_id, "while the processor fails");
    assert_eq!((fixture.counted("succeeded"), fixture.store.pending()), (1.0, 1));
}

#[actix_rt::test]
async fn a_key_used_for_another_payment_is_refused() {
    let fixture = fixture(rules()).await;
    fixture.settle(new_payment("5.00"), "k").await.unwrap();
    let other = fixture.settle(new_payment("6.00"), "k").await;
    assert!(matches!(other, Err(SettleError::KeyReused)));
}

#[actix_rt::test]
async fn a_declined_payment_is_settled_and_announced() {
    let fixture = fixture(rules()).await;
    let payment = fixture.settle(new_payment("100.01"), "k").await.unwrap();
    assert_eq!(payment.outcome, Outcome::Declined);
    assert!(payment.reason.is_some());
    let window = fixture.store.claim(1, Duration::ZERO).await.unwrap();
    let event = &window.items[0];
    assert_eq!((event.routing_key.as_str(), fixture.counted("declined")), ("payment.declined", 1.0));
}

#[actix_rt::test]
async fn a_failed_processor_decides_nothing() {
    let fixture = fixture(Rules { simulation: Simulation { failure_rate: 1.0, ..PERFECT }, ..rules() }).await;
    let failed = fixture.settle(new_payment("5.00"), "k").await;
    assert!(matches!(failed, Err(SettleError::Processor)));
    assert!(fixture.store.find_by_key("k").await.unwrap().is_none());
    assert_eq!((fixture.counted("failed"), fixture.told.load(Ordering::SeqCst)), (1.0, 0));
}

#[actix_rt::test]
async fn an_amount_that_is_not_valid_is_refused() {
    let fixture = fixture(rules()).await;
    for amount in ["0", "-5.00", "1.999", "five"] {
        let refused = fixture.settle(new_payment(amount), "k").await;
        assert!(matches!(refused, Err(SettleError::Amount(_))), "{amount}");
    }
}

#[actix_rt::test]
async fn payments_beyond_the_limit_in_flight_are_refused() {
    let slow = Rules { simulation: slow(200), max_in_flight: 2, ..rules() };
    let fixture = fixture(slow).await;
    let all = (0..5).map(|number| fixture.settle(new_payment("5.00"), ["a", "b", "c", "d", "e"][number]));
    let answers = futures_util::future::join_all(all).await;
    let refused = answers.iter().filter(|answer| matches!(answer, Err(SettleError::Busy))).count();
    assert_eq!((refused, fixture.counted("succeeded")), (3, 2.0));
    assert!(fixture.settle(new_payment("5.00"), "f").await.is_ok(), "there is room again");
}

#[actix_rt::test]
async fn a_simulation_holds_until_it_is_changed_again() {
    let fixture = fixture(rules()).await;
    let broken = Simulation { failure_rate: 1.0, ..PERFECT };
    assert_eq!(fixture.ledger.send(Traced::new(ChangeSimulation(broken))).await.unwrap(), broken);
    assert_eq!(fixture.ledger.send(ReadSimulation(std::marker::PhantomData)).await.unwrap(), broken);
    assert!(matches!(fixture.settle(new_payment("5.00"), "k").await, Err(SettleError::Processor)));
    fixture.ledger.send(Traced::new(ChangeSimulation(PERFECT))).await.unwrap();
    assert!(fixture.settle(new_payment("5.00"), "k").await.is_ok());
    let lines = fixture.seen.lines();
    let changes = lines.iter().filter(|line| line["message"] == "simulation changed");
    let rates: Vec<_> = changes.map(|line| line["simulation.failure_rate"].as_f64()).collect();
    assert_eq!(rates, [Some(1.0), Some(0.0)]);
}
