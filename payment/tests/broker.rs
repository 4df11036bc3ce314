//! The publisher on a real broker, also on one that can't take an event.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use actix::prelude::*;
use lapin::message::Delivery;
use lapin::options::BasicGetOptions;
use payment::metrics::Metrics;
use payment::publisher::{DrainOutbox, Publisher, RelayEvents};
use payment::store::{OutboxEvent, Settlement, Store};
use payment_api::http::{EventState, Outcome, Payment};
use payment_api::{Currency, Money, topology};
use service::amqp::{Broker, Link};
use slog::{Discard, Logger, o};
use store::testing::TestDatabase;
use telemetry::amqp::{context_of, since_publish};
use telemetry::metrics::Registry;
use telemetry::propagation::TraceContext;
use testkit::rabbitmq::VirtualHost;
use testkit::wait::eventually;
use time::OffsetDateTime;
use uuid::Uuid;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn store() -> (Store, TestDatabase) {
    let database = TestDatabase::sqlite();
    (Store::open(&database.url).await.unwrap(), database)
}

fn publisher(store: &Store, url: &str) -> Addr<Publisher> {
    let metrics = Metrics::register(&Registry::new()).unwrap();
    Publisher::new(
        store.clone(),
        Broker::new(url, topology::DEFINITIONS).unwrap(),
        metrics,
        &Logger::root(Discard, o!()),
    )
    .start()
}

/// JSON, as each event is: the store sets others aside.
fn payload(id: Uuid) -> Vec<u8> {
    serde_json::to_vec(&id).unwrap()
}

/// Settles a payment without telling a publisher; returns the id of its event.
async fn settle(store: &Store) -> Uuid {
    let amount = Money::parse("5.00", Currency::Usd).unwrap();
    let (order_id, id) = (Uuid::now_v7(), Uuid::now_v7());
    let settlement = Settlement {
        payment: Payment {
            order_id,
            outcome: Outcome::Succeeded,
            reason: None,
            amount: amount.to_string(),
            currency: Currency::Usd,
            settled_at: OffsetDateTime::now_utc(),
            trace_id: None,
            event: EventState::Pending,
        },
        amount,
        idempotency_key: order_id.to_string(),
        fingerprint: String::new(),
        event: OutboxEvent {
            id,
            order_id,
            routing_key: "payment.succeeded".into(),
            payload: payload(id),
            trace_context: TraceContext::read(|name| (name == "traceparent").then(|| PARENT.to_owned())),
        },
    };
    assert!(store.settle(settlement).await.unwrap().is_none());
    id
}

/// So many settled payments, committed in groups.
async fn settle_many(store: &Store, number: usize) {
    for _ in 0..number.div_ceil(1000) {
        futures_util::future::join_all((0..1000).map(|_| settle(store))).await;
    }
}

async fn until_pending(store: &Store, number: i64) {
    eventually(&format!("{number} pending events"), async || {
        let pending = store.pending();
        if pending == number { Ok(()) } else { Err(format!("{pending} are")) }
    })
    .await;
}

/// A connection of the test, which declares the topology.
struct Client {
    link: Link,
    /// Its thread drives the connection.
    _broker: Broker,
}

impl Client {
    async fn connect(vhost: &VirtualHost) -> Self {
        let broker = Broker::new(&vhost.amqp_url(), topology::DEFINITIONS).unwrap();
        Self { link: broker.connect("test").await.unwrap(), _broker: broker }
    }

    /// Takes the next message out of a queue.
    async fn next_message(&self, queue: &str) -> Delivery {
        eventually(&format!("a message in {queue}"), async || {
            let options = BasicGetOptions { no_ack: true };
            self.link.channel.basic_get(queue.into(), options).await.unwrap().map(|message| message.delivery)
        })
        .await
    }
}

async fn broker() -> (VirtualHost, Client) {
    let vhost = VirtualHost::create().await;
    let client = Client::connect(&vhost).await;
    (vhost, client)
}

#[actix_rt::test]
async fn an_event_arrives_as_the_contract_says() {
    let (store, _database) = store().await;
    let (vhost, client) = broker().await;
    let id = settle(&store).await;
    let publisher = publisher(&store, &vhost.amqp_url());
    let message = client.next_message(topology::MAILER_QUEUE).await;
    assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("checkout", "payment.succeeded"));
    assert_eq!(message.data, payload(id));
    let properties = message.properties;
    assert_eq!(properties.delivery_mode(), &Some(2), "persistent");
    assert_eq!(properties.message_id().as_ref().map(|id| id.as_str()), Some(id.to_string().as_str()));
    assert_eq!(properties.content_type().as_ref().map(|t| t.as_str()), Some("application/cloudevents+json"));
    // No span is recorded in this process, so the message names none as its sender.
    assert!(!context_of(properties.headers().as_ref()).span_context().is_valid());
    let waited = since_publish(properties.headers().as_ref());
    assert!(waited.is_some_and(|waited| waited < Duration::from_secs(60)), "{waited:?}");
    until_pending(&store, 0).await;
    publisher.send(DrainOutbox).await.unwrap();
}

#[actix_rt::test]
async fn an_unroutable_event_waits_until_its_queue_is_back() {
    let (store, _database) = store().await;
    let (vhost, client) = broker().await;
    let publisher = publisher(&store, &vhost.amqp_url());
    publisher.send(RelayEvents).await.unwrap();
    // The topology is declared; without its queues the broker returns an event and confirms it.
    vhost.delete_queue(topology::MAILER_QUEUE).await;
    vhost.delete_queue(topology::UNROUTED).await;
    for _ in 0..10 {
        settle(&store).await;
    }
    publisher.send(RelayEvents).await.unwrap();
    // The failed pass gives up its link; the next link declares the topology again, and the events arrive.
    until_pending(&store, 0).await;
    for _ in 0..10 {
        client.next_message(topology::MAILER_QUEUE).await;
    }
    publisher.send(DrainOutbox).await.unwrap();
}

#[actix_rt::test]
async fn an_outage_of_the_broker_loses_nothing() {
    let (store, _database) = store().await;
    let vhost = VirtualHost::create().await;
    let publisher = publisher(&store, &vhost.amqp_url());
    publisher.send(RelayEvents).await.unwrap();
    // With its virtual host, the connection of the publisher is gone.
    vhost.remove().await;
    let id = settle(&store).await;
    publisher.send(RelayEvents).await.unwrap();
    assert_eq!(store.pending(), 1);

    vhost.restore().await;
    let client = Client::connect(&vhost).await;
    let message = client.next_message(topology::MAILER_QUEUE).await;
    assert_eq!(message.data, payload(id));
    until_pending(&store, 0).await;
    publisher.send(DrainOutbox).await.unwrap();
}

#[actix_rt::test]
async fn draining_publishes_what_is_left() {
    let (store, _database) = store().await;
    let vhost = VirtualHost::create().await;
    let publisher = publisher(&store, &vhost.amqp_url());
    publisher.send(RelayEvents).await.unwrap();
    for _ in 0..100 {
        settle(&store).await;
    }
    publisher.send(DrainOutbox).await.unwrap();
    assert_eq!(store.pending(), 0);
}

#[actix_rt::test]
async fn an_unrouted_event_is_published_again() {
    let (store, _database) = store().await;
    let (vhost, client) = broker().await;
    let publisher = publisher(&store, &vhost.amqp_url());
    publisher.send(RelayEvents).await.unwrap();
    // The alternate exchange takes the event, which is a success for the broker.
    vhost.delete_queue(topology::MAILER_QUEUE).await;
    let ids: std::collections::BTreeSet<_> = [settle(&store).await, settle(&store).await].map(payload).into();
    until_pending(&store, 0).await;
    vhost.await_queue(topology::MAILER_QUEUE).await;
    let mut arrived = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let message = client.next_message(topology::MAILER_QUEUE).await;
        arrived.insert(message.data);
    }
    assert_eq!(arrived, ids);
    publisher.send(DrainOutbox).await.unwrap();
}

#[actix_rt::test]
async fn an_event_waits_while_the_queue_is_full() {
    let (store, _database) = store().await;
    let (vhost, client) = broker().await;
    let publisher = publisher(&store, &vhost.amqp_url());
    publisher.send(RelayEvents).await.unwrap();
    vhost.limit_queue(topology::MAILER_QUEUE, Some(1)).await;
    // A policy is applied with a delay: settle until the queue has refused an event.
    let mut settled = 0;
    while store.pending() == 0 {
        assert!(settled < 200, "nothing was refused");
        settle(&store).await;
        publisher.send(RelayEvents).await.unwrap();
        settled += 1;
    }
    vhost.limit_queue(topology::MAILER_QUEUE, None).await;
    until_pending(&store, 0).await;
    let mut arrived = std::collections::BTreeSet::new();
    while arrived.len() < settled {
        arrived.insert(client.next_message(topology::MAILER_QUEUE).await.data);
    }
    publisher.send(DrainOutbox).await.unwrap();
}

#[actix_rt::test]
async fn a_backlog_of_seconds_is_drained_to_its_end() {
    let (vhost, _client) = broker().await;
    let (store, _database) = store().await;
    settle_many(&store, 30_000).await;
    let publisher = publisher(&store, &vhost.amqp_url());
    publisher.send(DrainOutbox).await.unwrap();
    assert_eq!(store.pending(), 0);
}
