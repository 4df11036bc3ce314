//! What tests of several services need: an event, and a vhost of its own for each test on the real broker that
//! `AMQP_URL` names, so that tests don't see each other.

use lapin::message::BasicGetMessage;
use lapin::options::{BasicGetOptions, QueueDeleteOptions};
use reqwest::{Client, Method};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::broker::{Broker, Link};
use crate::event::{Kind, PaymentEvent, PaymentSettled, SOURCE};
use crate::{Currency, Customer, Email, Item};

/// The event of an order that was paid just now, of a customer with this address.
pub fn paid(email: &str) -> PaymentEvent {
    PaymentEvent {
        specversion: "1.0".to_owned(),
        id: Uuid::now_v7(),
        source: SOURCE.to_owned(),
        kind: Kind::Succeeded,
        time: OffsetDateTime::now_utc(),
        data: PaymentSettled {
            order_id: Uuid::now_v7(),
            customer: Customer { email: Email::new(email) },
            items: vec![Item { sku: "BOOK".to_owned(), quantity: 1, unit_price: "5.00".to_owned() }],
            amount: "5.00".to_owned(),
            currency: Currency::Usd,
            reason: None,
        },
    }
}

/// A vhost that lives as long as this value.
pub struct Vhost {
    /// The URL of the broker, with this vhost.
    pub url: String,
    management: String,
    name: String,
    link: Link,
    /// Holds the thread of the link.
    _broker: Broker,
}

impl Vhost {
    /// Makes a vhost and declares the topology in it.
    ///
    /// # Panics
    /// Without a broker: run the tests with `make test`.
    pub async fn create() -> Self {
        Self::create_named(&Uuid::now_v7().to_string()).await
    }

    /// The same, under a name that was there before.
    ///
    /// # Panics
    /// Without a broker: run the tests with `make test`.
    #[expect(clippy::expect_used, clippy::disallowed_methods, reason = "tests only")]
    pub async fn create_named(name: &str) -> Self {
        let hint = "needs a real broker: run `make test`";
        let amqp = std::env::var("AMQP_URL").expect(hint);
        let management = std::env::var("RABBITMQ_MANAGEMENT_URL").expect(hint);
        request(Method::PUT, &management, name).await;
        let (server, _) = amqp.rsplit_once('/').expect("AMQP_URL names a vhost");
        let url = format!("{server}/{name}");
        let broker = Broker::new(&url).expect("AMQP_URL is valid");
        let link = broker.connect("test").await.expect("the broker takes connections");
        Self { url, management, name: name.to_owned(), link, _broker: broker }
    }

    /// The channel of the test.
    pub fn channel(&self) -> &lapin::Channel {
        &self.link.channel
    }

    /// Takes the next message out of a queue, waiting for it.
    ///
    /// # Panics
    /// When there is none for ten seconds.
    #[expect(clippy::expect_used, reason = "tests only")]
    pub async fn next_message(&self, queue: &str) -> BasicGetMessage {
        for _ in 0..200 {
            let options = BasicGetOptions { no_ack: true };
            if let Some(message) = self.link.channel.basic_get(queue.into(), options).await.expect("queue") {
                return message;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no message in {queue} for ten seconds");
    }

    /// Waits until a queue is there.
    ///
    /// # Panics
    /// When there is none for ten seconds.
    #[expect(clippy::expect_used, reason = "tests only")]
    pub async fn await_queue(&self, queue: &str) {
        let url = format!("{}/api/queues/{}/{queue}", self.management, self.name);
        for _ in 0..200 {
            if Client::new().get(&url).send().await.expect("the management API answers").status().is_success()
            {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("no queue {queue} for ten seconds");
    }

    /// From now on a queue takes no more than so many messages, and refuses the rest; without a number, all again.
    ///
    /// # Panics
    /// When the broker refuses.
    #[expect(clippy::expect_used, reason = "tests only")]
    pub async fn limit_queue(&self, queue: &str, messages: Option<u32>) {
        let url = format!("{}/api/policies/{}/limit", self.management, self.name);
        let request = match messages {
            Some(messages) => Client::new().put(&url).header("content-type", "application/json").body(format!(
                r#"{{"pattern": "^{queue}$", "apply-to": "queues", "definition": {{"max-length": {messages}}}}}"#
            )),
            None => Client::new().delete(&url),
        };
        let answer = request.send().await.expect("the management API answers");
        assert!(answer.status().is_success(), "{}", answer.status());
    }

    /// Deletes a queue, with what is in it.
    ///
    /// # Panics
    /// When the broker refuses.
    #[expect(clippy::expect_used, reason = "tests only")]
    pub async fn delete_queue(&self, queue: &str) {
        let deleted = self.link.channel.queue_delete(queue.into(), QueueDeleteOptions::default());
        deleted.await.expect("the broker deletes a queue");
    }

    /// Deletes the vhost, and with it every connection to it.
    pub async fn delete(self) {
        request(Method::DELETE, &self.management, &self.name).await;
    }
}

#[expect(clippy::expect_used, reason = "tests only")]
async fn request(method: Method, management: &str, vhost: &str) {
    // The URL carries user and password, and the client takes them from there.
    let request = Client::new().request(method, format!("{management}/api/vhosts/{vhost}"));
    let answer = request.send().await.expect("the management API answers");
    assert!(answer.status().is_success(), "{}", answer.status());
}
