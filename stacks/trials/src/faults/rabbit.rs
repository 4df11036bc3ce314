//! The operator's access to the broker: the management API.

use anyhow::{Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use stacks::local::rabbitmq::Node;
use testkit::rabbitmq::Management;

/// The exchange that payment publishes to.
pub(crate) const EXCHANGE: &str = "checkout";
/// The queue that the mailer consumes.
pub(crate) const QUEUE: &str = "mailer.payments";
/// The queue of messages that the mailer cannot read.
pub(crate) const PARKING: &str = "mailer.parking";
/// The queue of events that no binding matches.
pub(crate) const UNROUTED: &str = "checkout.unrouted";
/// The routing keys of all events.
const BINDING: &str = "payment.*";
/// Messages to take by one request.
const MAX_MESSAGES: u32 = 2_000;

/// The default virtual host of a node; cheap to clone.
#[derive(Clone)]
pub(crate) struct Rabbit(Management);

/// A message in a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    routing_key: String,
    properties: Value,
    /// Its body in Base64.
    pub(crate) payload: String,
}

impl Rabbit {
    /// The default virtual host of this node.
    pub(crate) fn new(node: &Node) -> Result<Self> {
        Management::new(&node.management_url()).map(Self)
    }

    /// The number of messages in a queue, with the unacknowledged ones.
    pub(crate) async fn depth(&self, queue: &str) -> Result<u64> {
        let path = format!("queues/%2F/{queue}?disable_stats=true&enable_queue_totals=true");
        let queue = self.call(Method::GET, &path, None).await?;
        // A new queue has no count yet.
        Ok(queue["messages"].as_u64().unwrap_or_default())
    }

    /// Takes all messages out of a queue.
    pub(crate) async fn take(&self, queue: &str) -> Result<Vec<Message>> {
        let path = format!("queues/%2F/{queue}/get");
        let how = json!({"count": MAX_MESSAGES, "ackmode": "ack_requeue_false", "encoding": "base64"});
        let messages = self.call(Method::POST, &path, Some(how)).await?;
        let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let message = |message: &Value| Message {
            routing_key: text(message, "routing_key"),
            properties: message["properties"].clone(),
            payload: text(message, "payload"),
        };
        Ok(messages.as_array().map_or(&[][..], Vec::as_slice).iter().map(message).collect())
    }

    /// Publishes a message to the exchange.
    pub(crate) async fn publish(&self, message: &Message) -> Result<()> {
        let message = json!({
            "routing_key": message.routing_key,
            "properties": message.properties,
            "payload": message.payload,
            "payload_encoding": "base64",
        });
        let answer = self.call(Method::POST, "exchanges/%2F/checkout/publish", Some(message)).await?;
        if answer["routed"] != true {
            bail!("RabbitMQ routed a message to no queue");
        }
        Ok(())
    }

    /// Declares a queue that gets a copy of each event from now on.
    pub(crate) async fn tap(&self, queue: &str) -> Result<()> {
        self.declare(queue).await?;
        self.bind(queue).await
    }

    /// Declares a durable queue without arguments.
    pub(crate) async fn declare(&self, queue: &str) -> Result<()> {
        let durable = json!({"durable": true});
        self.call(Method::PUT, &format!("queues/%2F/{queue}"), Some(durable)).await.map(drop)
    }

    /// Deletes a queue with its messages.
    pub(crate) async fn delete(&self, queue: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("queues/%2F/{queue}"), None).await.map(drop)
    }

    /// Removes the messages of a queue.
    pub(crate) async fn purge(&self, queue: &str) -> Result<()> {
        self.call(Method::DELETE, &format!("queues/%2F/{queue}/contents"), None).await.map(drop)
    }

    /// Binds a queue for all events.
    pub(crate) async fn bind(&self, queue: &str) -> Result<()> {
        let path = format!("bindings/%2F/e/{EXCHANGE}/q/{queue}");
        self.call(Method::POST, &path, Some(json!({"routing_key": BINDING}))).await.map(drop)
    }

    /// Removes the binding of a queue.
    pub(crate) async fn unbind(&self, queue: &str) -> Result<()> {
        let path = format!("bindings/%2F/e/{EXCHANGE}/q/{queue}/{BINDING}");
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.0.call(method, path, body.as_ref()).await
    }
}

impl Message {
    /// A message for the mailer, with this body in Base64.
    pub(crate) fn to_mailer(payload: &str) -> Self {
        let (routing_key, payload) = ("payment.succeeded".to_owned(), payload.to_owned());
        Self { routing_key, properties: json!({"delivery_mode": 2}), payload }
    }
}
