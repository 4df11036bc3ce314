//! A vhost of its own on the broker that the test run was lent, with a user of its own, by RabbitMQ's management
//! API. Deleting it is an outage of the broker for those who use it, and for nobody else.

use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use stacks::http;
use uuid::Uuid;

use super::{eventually, program};

pub(crate) struct Vhost {
    /// Also the name of the user.
    name: String,
    password: String,
    amqp: Url,
    management: Url,
    client: Client,
}

impl Vhost {
    pub(crate) async fn create() -> Self {
        let lent = |variable: &str| -> Url {
            let url = program::inherited(variable);
            url.unwrap_or_else(|| panic!("{variable} names no broker: run `make test`")).parse().unwrap()
        };
        let (mut amqp, management) = (lent("AMQP_URL"), lent("RABBITMQ_MANAGEMENT_URL"));
        let name = format!("test-{}", Uuid::new_v4().simple());
        let password = Uuid::new_v4().simple().to_string();
        amqp.set_path(&name);
        let client = http::patient_client().unwrap();
        amqp.set_username(&name).unwrap();
        amqp.set_password(Some(&password)).unwrap();
        let vhost = Self { name, password, amqp, management, client };
        let user = json!({"password": vhost.password, "tags": ""});
        vhost.call(Method::PUT, &format!("users/{}", vhost.name), Some(user)).await;
        vhost.restore().await;
        vhost
    }

    pub(crate) fn amqp_url(&self) -> String {
        self.amqp.to_string()
    }

    /// The password of its user.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// From now on nobody can connect, and who is connected is thrown out.
    pub(crate) async fn remove(&self) {
        self.call(Method::DELETE, &format!("vhosts/{}", self.name), None).await;
    }

    /// It is there again, and empty.
    pub(crate) async fn restore(&self) {
        let name = &self.name;
        self.call(Method::PUT, &format!("vhosts/{name}"), None).await;
        let everything = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.call(Method::PUT, &format!("permissions/{name}/{name}"), Some(everything)).await;
    }

    /// Publishes to the exchange of payment's events. `encoding` is `string`, or `base64` for other bytes.
    pub(crate) async fn publish(&self, key: &str, message_id: &str, payload: (&str, &str)) {
        self.publish_with(key, json!({"message_id": message_id, "delivery_mode": 2}), payload).await;
    }

    /// The same with any properties, by their names in AMQP.
    pub(crate) async fn publish_with(&self, key: &str, properties: Value, (payload, encoding): (&str, &str)) {
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

    /// Takes the messages out of a queue, each with its encoding.
    pub(crate) async fn take(&self, queue: &str) -> Vec<(String, String)> {
        let path = format!("queues/{}/{queue}/get", self.name);
        let how = json!({"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let messages = self.call(Method::POST, &path, Some(how)).await;
        let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
        let payload = |message: &Value| (text(message, "payload"), text(message, "payload_encoding"));
        messages.as_array().unwrap().iter().map(payload).collect()
    }

    /// From now on, what is published to the exchange of payment's events lies in this queue, too.
    pub(crate) async fn copy_to(&self, queue: &str) {
        self.call(Method::PUT, &format!("queues/{}/{queue}", self.name), Some(json!({}))).await;
        let path = format!("bindings/{}/e/checkout/q/{queue}", self.name);
        self.call(Method::POST, &path, Some(json!({"routing_key": "#"}))).await;
    }

    /// The headers of the first message in a queue, as soon as there is one.
    pub(crate) async fn headers(&self, queue: &str) -> Value {
        let path = format!("queues/{}/{queue}/get", self.name);
        let how = json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"});
        eventually(&format!("a message in {queue}"), async || {
            let messages = self.call(Method::POST, &path, Some(how.clone())).await;
            messages.get(0).map(|message| message["properties"]["headers"].clone()).ok_or("none".into())
        })
        .await
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let mut request =
            self.client.request(method.clone(), self.management.join(&format!("api/{path}")).unwrap());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "the broker answered {status} to {method} {path}: {text}");
        serde_json::from_str(&text).unwrap_or_default()
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let urls = ["vhosts", "users"]
            .map(|kind| self.management.join(&format!("api/{kind}/{}", self.name)).unwrap());
        // On a thread with a runtime of its own: the test's can't wait here.
        let deletion = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let client = http::client().unwrap();
                for url in urls {
                    let _ = client.delete(url).send().await;
                }
            });
        });
        // What stays goes with the node; a panic here would hide why the test failed.
        let _ = deletion.join();
    }
}
