//! A virtual host per test on a real broker, through RabbitMQ's management API.
//!
//! `AMQP_URL` and `RABBITMQ_MANAGEMENT_URL` name the broker. A new virtual host is empty: its topology is declared by
//! the first service that connects.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::wait::eventually;

/// A killed node, or one that moves dead letters, pauses for several seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The management API of a node; cheap to clone.
#[derive(Clone)]
pub struct Management {
    client: Client,
    /// Without the final slash, with user and password.
    url: String,
}

impl Management {
    /// The management API at this URL, such as `http://user:password@localhost:15672`.
    ///
    /// # Errors
    /// If the TLS library cannot start.
    pub fn new(url: &str) -> Result<Self> {
        let client =
            Client::builder().timeout(TIMEOUT).no_proxy().build().context("cannot make an HTTP client")?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    /// Calls `/api/PATH`; the JSON of the response, null if it has no body.
    ///
    /// # Errors
    /// If the node does not respond, or responds with an error.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut request = self.client.request(method.clone(), format!("{}/api/{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = || format!("RabbitMQ's management API failed at {method} {path}");
        // The URL of an error would repeat the password.
        let response = request.send().await.map_err(reqwest::Error::without_url).with_context(failed)?;
        let status = response.status();
        let text = response.text().await.map_err(reqwest::Error::without_url).with_context(failed)?;
        if !status.is_success() {
            bail!("RabbitMQ's management API responded {status} to {method} {path}: {text}");
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }
}

/// A virtual host with a user of its own. Dropping it deletes both.
pub struct VirtualHost {
    /// Also the name of the user.
    name: String,
    password: String,
    amqp: Url,
    management: Management,
}

impl VirtualHost {
    /// Creates a virtual host.
    ///
    /// # Panics
    /// Without a broker.
    #[expect(clippy::expect_used, reason = "a test without a broker stops here")]
    pub async fn create() -> Self {
        let mut amqp = variable("AMQP_URL").parse::<Url>().expect("AMQP_URL is a URL");
        let management = Management::new(&variable("RABBITMQ_MANAGEMENT_URL")).expect("an HTTP client");
        let name = format!("test-{}", Uuid::new_v4().simple());
        let password = Uuid::new_v4().simple().to_string();
        amqp.set_path(&name);
        amqp.set_username(&name)
            .and_then(|()| amqp.set_password(Some(&password)))
            .expect("AMQP_URL has a host");
        let host = Self { name, password, amqp, management };
        let user = json!({"password": host.password, "tags": ""});
        host.call(Method::PUT, &format!("users/{}", host.name), Some(user)).await;
        host.restore().await;
        host
    }

    /// The URL for clients: `amqp://USER:PASSWORD@HOST/NAME`.
    pub fn amqp_url(&self) -> String {
        self.amqp.to_string()
    }

    /// The password of its user.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Deletes the virtual host, and with it every connection: an outage of the broker for its clients alone.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn remove(&self) {
        self.call(Method::DELETE, &format!("vhosts/{}", self.name), None).await;
    }

    /// Creates the virtual host again, empty.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn restore(&self) {
        self.call(Method::PUT, &format!("vhosts/{}", self.name), None).await;
        self.permit().await;
    }

    /// Creates the virtual host again with a queue that was declared by hand, before a client can connect.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn restore_with(&self, queue: &str, body: Value) {
        self.call(Method::PUT, &format!("vhosts/{}", self.name), None).await;
        self.declare("queues", queue, body).await;
        self.permit().await;
    }

    async fn permit(&self) {
        let name = &self.name;
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.call(Method::PUT, &format!("permissions/{name}/{name}"), Some(everything)).await;
    }

    /// Publishes a persistent message to the exchange `checkout`. The encoding of the payload is `string`, or
    /// `base64` for bytes that are no text.
    ///
    /// # Panics
    /// If no queue is bound for `key`.
    pub async fn publish(&self, key: &str, message_id: &str, payload: (&str, &str)) {
        self.publish_with(key, json!({"message_id": message_id, "delivery_mode": 2}), payload).await;
    }

    /// Publishes a message with these AMQP properties to the exchange `checkout`.
    ///
    /// # Panics
    /// If no queue is bound for `key`.
    pub async fn publish_with(&self, key: &str, properties: Value, (payload, encoding): (&str, &str)) {
        let message = json!({
            "routing_key": key,
            "payload": payload,
            "payload_encoding": encoding,
            "properties": properties,
        });
        let path = format!("exchanges/{}/checkout/publish", self.name);
        let answer = self.call(Method::POST, &path, Some(message)).await;
        assert_eq!(answer["routed"], true, "no queue is bound for {key}");
    }

    /// Takes up to 100 messages out of a queue: payload and encoding.
    ///
    /// # Panics
    /// If there is no such queue.
    pub async fn take(&self, queue: &str) -> Vec<(String, String)> {
        let how = json!({"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let text = |message: &Value, key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let payload = |message: &Value| (text(message, "payload"), text(message, "payload_encoding"));
        self.get(queue, how).await.iter().map(payload).collect()
    }

    /// The headers of the first message in a queue, as soon as there is a message; it stays in the queue.
    ///
    /// # Panics
    /// If there is no such queue, or no message within the limit of [`eventually`].
    pub async fn headers(&self, queue: &str) -> Value {
        let how = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        eventually(&format!("a message in {queue}"), async || {
            let messages = self.get(queue, how.clone()).await;
            messages.first().map(|message| message["properties"]["headers"].clone())
        })
        .await
    }

    /// Copies everything that is published to the exchange `checkout` into a new queue, too.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn copy_to(&self, queue: &str) {
        self.call(Method::PUT, &format!("queues/{}/{queue}", self.name), Some(json!({}))).await;
        let path = format!("bindings/{}/e/checkout/q/{queue}", self.name);
        self.call(Method::POST, &path, Some(json!({"routing_key": "#"}))).await;
    }

    /// Waits until a queue exists and hands out its messages. Before it does, a client that gets a message from it loses
    /// its connection.
    ///
    /// # Panics
    /// After the limit of [`eventually`].
    pub async fn await_queue(&self, queue: &str) {
        let path = format!("queues/{}/{queue}/get", self.name);
        let peek = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        eventually(&format!("the queue {queue}"), async || {
            self.management.call(Method::POST, &path, Some(&peek)).await.map(|_| ())
        })
        .await;
    }

    /// Declares a durable queue or exchange (`queues`, `exchanges`) by hand; `body` as the management API has it.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn declare(&self, kind: &str, name: &str, body: Value) {
        self.call(Method::PUT, &format!("{kind}/{}/{name}", self.name), Some(body)).await;
    }

    /// The arguments of a queue.
    ///
    /// # Panics
    /// If there is no such queue.
    pub async fn arguments(&self, queue: &str) -> Value {
        self.call(Method::GET, &format!("queues/{}/{queue}", self.name), None).await["arguments"].clone()
    }

    /// Deletes an exchange.
    ///
    /// # Panics
    /// If there is no such exchange.
    pub async fn delete_exchange(&self, name: &str) {
        self.call(Method::DELETE, &format!("exchanges/{}/{name}", self.name), None).await;
    }

    /// Deletes a queue with its messages.
    ///
    /// # Panics
    /// If there is no such queue.
    pub async fn delete_queue(&self, queue: &str) {
        self.call(Method::DELETE, &format!("queues/{}/{queue}", self.name), None).await;
    }

    /// Limits a queue to this number of messages, so that it refuses the rest; `None` removes the limit.
    ///
    /// # Panics
    /// If the node refuses.
    pub async fn limit_queue(&self, queue: &str, messages: Option<u32>) {
        let path = format!("policies/{}/limit", self.name);
        match messages {
            Some(messages) => {
                let definition = json!({"max-length": messages});
                let policy =
                    json!({"pattern": format!("^{queue}$"), "apply-to": "queues", "definition": definition});
                self.call(Method::PUT, &path, Some(policy)).await
            }
            None => self.call(Method::DELETE, &path, None).await,
        };
    }

    async fn get(&self, queue: &str, how: Value) -> Vec<Value> {
        let path = format!("queues/{}/{queue}/get", self.name);
        let messages = self.call(Method::POST, &path, Some(how)).await;
        messages.as_array().cloned().unwrap_or_default()
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        match self.management.call(method, path, body.as_ref()).await {
            Ok(response) => response,
            Err(error) => panic!("{error:#}"),
        }
    }
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        let url = self.management.url.clone();
        let paths = ["vhosts", "users"].map(|kind| format!("{kind}/{}", self.name));
        // A thread with a runtime of its own: the runtime of the test cannot block here.
        let deletion = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let management = Management::new(&url)?;
                for path in paths {
                    // A removed virtual host is gone already; its user is not.
                    let _ = management.call(Method::DELETE, &path, None).await;
                }
                anyhow::Ok(())
            })
        });
        // What stays is deleted with the node; a panic here would hide why the test failed.
        let _ = deletion.join();
    }
}

#[expect(clippy::disallowed_methods, reason = "no settings struct exists in a test")]
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names no broker: run `make test`"))
}
