//! Dead letters and parked messages on a real broker: listed, put back, and never lost.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use actix_web::{App, test};
use clap::Parser;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use mailer::config::Config;
use mailer::consumer::{Consumer, StopConsuming};
use mailer::dead_letter::{DeadLetter, State, Story};
use mailer::dead_letters::{
    DeadLetters, DiscardDeadLetters, FindDeadLetter, ListDeadLetters, ReplayDeadLetters,
};
use mailer::metrics::Metrics;
use mailer::postman::{Postman, SendDueEmails};
use mailer::store::{Arrival, Outcome, Store};
use mailer::transport::Transport;
use payment_api::event::PaymentEvent;
use payment_api::topology;
use service::amqp::{Broker, Link};
use store::testing::TestDatabase;
use telemetry::Traced;
use telemetry::amqp::{with_context, with_publish_time};
use telemetry::propagation::TraceContext;
use telemetry::testing::Capture;
use tempfile::TempDir;
use testkit::rabbitmq::VirtualHost;
use testkit::wait::eventually;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNREADABLE: &[u8] =
    br#"{"data":{"orderId":"01890000-0000-7000-8000-000000000002"},"to":"ada@example.org"}"#;

struct Mailer {
    /// A connection of the test.
    link: Link,
    store: Store,
    postman: Addr<Postman>,
    consumer: Addr<Consumer>,
    dead_letters: Addr<DeadLetters>,
    directory: TempDir,
    seen: Capture,
    _database: TestDatabase,
    vhost: VirtualHost,
}

impl Mailer {
    /// Makes a dead letter of an event, between two claims of the postman.
    async fn bury(&self, event: &PaymentEvent) {
        self.postman.send(SendDueEmails).await.unwrap();
        let arrival = Arrival { event: event.clone(), context: context() };
        assert_eq!(self.store.receive(vec![arrival]).await.unwrap(), [true]);
        let due = self.store.claim(1, Duration::from_secs(60)).await.unwrap().items;
        let error = "550 no such user".to_owned();
        self.store.record_outcome(&due[0], Outcome::Dead { error }).await.unwrap();
    }

    async fn start() -> Self {
        let vhost = VirtualHost::create().await;
        let directory = tempfile::tempdir().unwrap();
        let database = TestDatabase::sqlite();
        let store = Store::open(&database.url).await.unwrap();
        let config = config(&[]);
        let transport = Transport::new(None, directory.path().join("mail")).unwrap();
        let seen = Capture::start();
        let (metrics, log) = (Metrics::register(seen.registry()).unwrap(), seen.log());
        let postman = Postman::new(&config, store.clone(), transport, metrics.clone(), &log).start();
        let broker = Arc::new(Broker::new(&vhost.amqp_url(), topology::DEFINITIONS).unwrap());
        let link = broker.connect("test").await.unwrap();
        let deliver: Recipient<SendDueEmails> = postman.clone().recipient();
        let dead_letters =
            DeadLetters::new(&config, store.clone(), broker.clone(), deliver.clone(), &log).start();
        let consumer = Consumer::new(broker, store.clone(), deliver, metrics, &log).start();
        Self { link, store, postman, consumer, dead_letters, directory, seen, _database: database, vhost }
    }

    async fn list(&self) -> Vec<DeadLetter> {
        self.dead_letters.send(Traced::new(ListDeadLetters(100))).await.unwrap().unwrap()
    }

    async fn until_listed(&self, number: usize) -> Vec<DeadLetter> {
        eventually(&format!("{number} dead letters"), async || {
            let letters = self.list().await;
            if letters.len() == number { Ok(letters) } else { Err(format!("{letters:?}")) }
        })
        .await
    }

    async fn find(&self, id: &str) -> Option<Story> {
        self.dead_letters.send(Traced::new(FindDeadLetter(id.to_owned()))).await.unwrap().unwrap()
    }

    async fn replay(&self, id: Option<&str>) -> u64 {
        self.dead_letters.send(Traced::new(ReplayDeadLetters(id.map(str::to_owned)))).await.unwrap().unwrap()
    }

    async fn discard(&self, id: Option<&str>) -> u64 {
        self.dead_letters.send(Traced::new(DiscardDeadLetters(id.map(str::to_owned)))).await.unwrap().unwrap()
    }

    async fn publish(&self, id: &str, body: &[u8]) {
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(id.into())
            .with_headers(with_publish_time(with_context(Default::default(), &context())));
        let options = BasicPublishOptions::default();
        let (exchange, key) = (topology::EXCHANGE.into(), "payment.succeeded".into());
        self.link.channel.basic_publish(exchange, key, options, body, properties).await.unwrap();
    }

    /// Names of the e-mails that were written.
    fn emails(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.directory.path().join("mail")).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Takes the next message out of the parking queue.
    async fn next_parked(&self) -> Delivery {
        eventually("a parked message", async || {
            let options = BasicGetOptions { no_ack: true };
            let message = self.link.channel.basic_get(topology::PARKING_QUEUE.into(), options).await.unwrap();
            message.map(|message| message.delivery)
        })
        .await
    }

    async fn stop(self) {
        self.consumer.send(StopConsuming).await.unwrap();
    }
}

fn config(settings: &[&str]) -> Config {
    let needed = ["mailer", "--mailer-token=0123456789abcdef", "--mail-latency=0s"];
    Config::parse_from(needed.iter().chain(settings))
}

fn context() -> TraceContext {
    TraceContext::read(|name| (name == "traceparent").then(|| PARENT.to_owned()))
}

fn event() -> PaymentEvent {
    serde_json::from_value(testkit::event::paid("ada@example.org")).unwrap()
}

#[actix_rt::test]
async fn an_unreadable_message_is_parked_and_put_back_unchanged() {
    let mailer = Mailer::start().await;
    mailer.publish("first", UNREADABLE).await;
    mailer.publish("second", b"\xff\x00 no JSON").await;
    let letters = mailer.until_listed(2).await;
    let first = letters.iter().find(|letter| letter.event_id.as_deref() == Some("first")).unwrap();
    assert_eq!(first.state, State::Parked);
    assert_eq!(first.order_id.as_deref(), Some("01890000-0000-7000-8000-000000000002"));
    assert_eq!(first.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert!(first.reason.contains("not an event of payment") && !first.reason.contains("ada@"), "{first:?}");
    assert!(first.age_seconds.is_some());

    // It still can't be read, so that it is parked again; the other one was not moved.
    assert_eq!(mailer.replay(Some("first")).await, 1);
    mailer.until_listed(2).await;
    assert_eq!(mailer.replay(None).await, 2);
    mailer.until_listed(2).await;
    // More lists than the default delivery limit of RabbitMQ 4 allows; version 3 has no such default.
    for _ in 0..25 {
        assert_eq!(mailer.list().await.len(), 2);
    }
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let parked = mailer.next_parked().await;
        assert_eq!(
            (parked.routing_key.as_str(), parked.properties.delivery_mode()),
            (topology::PARKING_QUEUE, &Some(2))
        );
        bodies.push(parked.data);
    }
    bodies.sort();
    assert_eq!(bodies, [UNREADABLE, b"\xff\x00 no JSON"]);
    mailer.stop().await;
}

#[actix_rt::test]
async fn old_dead_letters_and_parked_messages_are_forgotten_at_a_start() {
    let mailer = Mailer::start().await;
    mailer.bury(&event()).await;
    mailer.publish("parked", UNREADABLE).await;
    mailer.until_listed(2).await;
    // The broker notes whole seconds.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    for (retention, left) in [("1d", 2), ("1s", 0)] {
        let config = config(&[&format!("--mail-dead-letter-retention={retention}")]);
        let broker = Arc::new(Broker::new(&mailer.vhost.amqp_url(), topology::DEFINITIONS).unwrap());
        let (store, postman) = (mailer.store.clone(), mailer.postman.clone().recipient());
        let restarted = DeadLetters::new(&config, store, broker, postman, &mailer.seen.log()).start();
        let list = async || restarted.send(Traced::new(ListDeadLetters(100))).await.unwrap().unwrap();
        // The first may be asked for before the actor begins, and the second is answered after it has forgotten.
        list().await;
        let listed = list().await;
        assert_eq!(listed.len(), left, "{retention}: {listed:?}");
    }
    assert_eq!(mailer.discard(None).await, 0);
    mailer.stop().await;
}

#[actix_rt::test]
async fn the_time_in_the_queue_begins_when_an_event_is_published() {
    let mailer = Mailer::start().await;
    let mut event = event();
    event.time -= Duration::from_secs(3600);
    mailer.publish(&event.id.to_string(), &serde_json::to_vec(&event).unwrap()).await;
    let processed = "messaging_process_duration_seconds_count{outcome=\"accepted\"}";
    eventually("a processed event", async || mailer.seen.metric(processed) > 0.0).await;
    assert_eq!(mailer.seen.metric(processed), 1.0);
    assert_eq!(mailer.seen.metric("messaging_queue_wait_seconds_count"), 1.0);
    let seconds = mailer.seen.metric("messaging_queue_wait_seconds_sum");
    assert!((0.0..600.0).contains(&seconds), "it waited {seconds} s");
    mailer.stop().await;
}

#[actix_rt::test]
async fn a_message_that_became_readable_is_replayed_into_an_email() {
    let mailer = Mailer::start().await;
    let event = event();
    // As after a release that repairs the reader: the message is in the parking queue, and can be read now.
    let body = serde_json::to_vec(&event).unwrap();
    let properties = BasicProperties::default().with_message_id(event.id.to_string().into());
    let (options, key) = (BasicPublishOptions::default(), topology::PARKING_QUEUE.into());
    mailer.link.channel.basic_publish("".into(), key, options, &body, properties).await.unwrap();
    mailer.until_listed(1).await;
    assert_eq!(mailer.replay(None).await, 1);
    eventually("an e-mail", async || !mailer.emails().is_empty()).await;
    assert_eq!(mailer.emails(), [format!("{}.eml", event.data.order_id)]);
    let get = mailer.link.channel.basic_get(topology::PARKING_QUEUE.into(), BasicGetOptions::default());
    assert!(get.await.unwrap().is_none(), "it is in one place only");
    mailer.stop().await;
}

#[actix_rt::test]
async fn a_dead_letter_that_is_put_back_is_sent_once() {
    let mailer = Mailer::start().await;
    let (event, other) = (event(), event());
    for event in [&event, &other] {
        mailer.bury(event).await;
    }
    let letters = mailer.until_listed(2).await;
    assert_eq!(letters[0].event_id, Some(event.id.to_string()));
    assert_eq!(letters[0].trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!((letters[0].state, letters[0].reason.as_str()), (State::Dead, "550 no such user"));

    assert_eq!(mailer.replay(Some(&event.id.to_string())).await, 1);
    eventually("an empty inbox", async || {
        mailer.postman.send(SendDueEmails).await.unwrap();
        mailer.store.backlog().await.unwrap().pending == 0
    })
    .await;
    assert_eq!(mailer.emails(), [format!("{}.eml", event.data.order_id)]);
    // An e-mail that was sent is no dead letter any more.
    assert_eq!(mailer.replay(Some(&event.id.to_string())).await, 0);
    assert_eq!(mailer.replay(Some("nobody")).await, 0);
    assert_eq!(mailer.until_listed(1).await[0].event_id, Some(other.id.to_string()));
    mailer.stop().await;
}

#[actix_rt::test]
async fn a_discarded_dead_letter_is_gone_and_not_received_again() {
    let mailer = Mailer::start().await;
    let (event, other) = (event(), event());
    for event in [&event, &other] {
        mailer.bury(event).await;
    }
    mailer.publish("unreadable", UNREADABLE).await;
    mailer.until_listed(3).await;
    assert_eq!(mailer.discard(Some("unknown")).await, 0);
    assert_eq!(mailer.discard(Some(&event.id.to_string())).await, 1);
    assert_eq!(mailer.discard(Some("unreadable")).await, 1);
    assert_eq!(mailer.until_listed(1).await[0].event_id, Some(other.id.to_string()));

    let arrival = Arrival { event: event.clone(), context: context() };
    assert_eq!(mailer.store.receive(vec![arrival]).await.unwrap(), [false]);
    assert_eq!(mailer.discard(None).await, 1);
    mailer.until_listed(0).await;
    assert_eq!((mailer.replay(None).await, mailer.emails().len()), (0, 0));
    mailer.stop().await;
}

#[actix_rt::test]
async fn a_dead_letter_tells_its_attempts_and_its_event_without_the_customer() {
    let mailer = Mailer::start().await;
    mailer.postman.send(SendDueEmails).await.unwrap();
    let event = event();
    let arrival = Arrival { event: event.clone(), context: context() };
    mailer.store.receive(vec![arrival]).await.unwrap();
    let later = Outcome::Retry { delay: Duration::ZERO, error: "451 later".to_owned(), uncertain: false };
    for outcome in [later, Outcome::Dead { error: "550 no such user".to_owned() }] {
        let due = mailer.store.claim(1, Duration::from_secs(60)).await.unwrap().items;
        mailer.store.record_outcome(&due[0], outcome).await.unwrap();
    }
    let story = mailer.find(&event.id.to_string()).await.unwrap();
    assert_eq!((story.letter.state, story.letter.attempts), (State::Dead, 2));
    assert_eq!(story.letter.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    let answers: Vec<_> = story.history.iter().map(|attempt| attempt.answer.as_str()).collect();
    assert_eq!(answers, ["451 later", "550 no such user"]);
    assert!(story.history.iter().all(|attempt| attempt.at.is_some()));
    let json = serde_json::to_value(&story).unwrap();
    assert_eq!(json["event"]["data"]["orderId"], event.data.order_id.to_string());
    assert_eq!(
        (&json["reason"], &json["eventId"]),
        (&"550 no such user".into(), &event.id.to_string().into())
    );
    assert!(!json.to_string().contains("ada@"), "{json}");

    mailer.publish("unreadable", UNREADABLE).await;
    mailer.until_listed(2).await;
    let story = mailer.find("unreadable").await.unwrap();
    assert_eq!((story.letter.state, story.history.len()), (State::Parked, 1));
    assert!(!serde_json::to_value(&story).unwrap().to_string().contains("ada@"), "{story:?}");
    assert!(mailer.find("unknown").await.is_none());
    assert_eq!(mailer.until_listed(2).await.len(), 2, "a parked message that was shown is still there");
    mailer.stop().await;
}

#[actix_rt::test]
async fn a_request_without_the_token_is_refused() {
    let mailer = Mailer::start().await;
    let config = Config::parse_from(["mailer", "--mailer-token=0123456789abcdef"]);
    let routes = mailer::http::routes(&config, mailer.dead_letters.clone(), mailer.postman.clone());
    let app = App::new().configure(routes);
    let app = test::init_service(app).await;
    let event = event();
    mailer.bury(&event).await;
    let one = format!("/dead-letters/{}/replay", event.id);
    let good = Some("Bearer 0123456789abcdef");
    for (method, path, token, status) in [
        ("GET", "/dead-letters", None, 401),
        ("GET", "/dead-letters", Some("Bearer 0123456789abcdeF"), 401),
        ("POST", "/dead-letters/replay", None, 401),
        ("POST", &one, None, 401),
        ("POST", "/dead-letters", good, 405),
        ("GET", "/dead-letters?limit=0", good, 400),
        ("GET", "/dead-letters?limit=many", good, 400),
        ("POST", "/dead-letters/nobody/replay", good, 404),
        ("GET", "/dead-letters?limit=1", good, 200),
        ("GET", "/dead-letters/unknown", None, 401),
        ("GET", "/dead-letters/unknown", good, 404),
        ("POST", &one, good, 200),
        ("POST", &one, good, 404),
        ("POST", "/dead-letters/replay", good, 200),
        ("DELETE", "/dead-letters", None, 401),
        ("DELETE", "/dead-letters/unknown", None, 401),
        ("DELETE", "/dead-letters/unknown", good, 404),
        ("DELETE", "/dead-letters", good, 200),
    ] {
        let mut request = test::TestRequest::with_uri(path).method(method.parse().unwrap());
        if let Some(token) = token {
            request = request.insert_header(("authorization", token));
        }
        let answer = test::call_service(&app, request.to_request()).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let kind = answer.headers().get("content-type").unwrap().to_str().unwrap().to_owned();
        let expected = if status == 200 { "application/json" } else { "application/problem+json" };
        assert_eq!(kind, expected, "{method} {path}");
    }
    mailer.stop().await;
}
