//! Exchanges, queues and bindings as data, in RabbitMQ's own format of definitions.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use serde::Deserialize;
use serde_json::{Map, Value};

const DELIVERY_LIMIT: &str = "x-delivery-limit";
/// The delivery limit that means none: RabbitMQ 3 has no word for it.
const NO_LIMIT: i64 = i32::MAX as i64;

/// Why a topology is not declared.
#[derive(Debug, thiserror::Error)]
pub enum DeclareError {
    /// A name exists with other properties.
    #[error("cannot declare the {what}: it exists, {difference}; once it is not needed, {remedy}")]
    Mismatch {
        /// Its kind and name.
        what: String,
        /// The property that differs, in the words of the broker.
        difference: String,
        /// The action that leads to its declaration by a service.
        remedy: String,
    },
    /// The broker refused otherwise, or was lost.
    #[error("the broker can't be used")]
    Amqp(#[from] lapin::Error),
}

/// A topology, as `rabbitmqctl import_definitions` reads it.
#[derive(Deserialize)]
pub(super) struct Definitions {
    exchanges: Vec<Exchange>,
    queues: Vec<Queue>,
    bindings: Vec<Binding>,
}

#[derive(Deserialize)]
struct Exchange {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    durable: bool,
    arguments: Map<String, Value>,
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    durable: bool,
    arguments: Map<String, Value>,
}

#[derive(Deserialize)]
struct Binding {
    source: String,
    destination: String,
    routing_key: String,
    arguments: Map<String, Value>,
}

impl Definitions {
    /// Declares all of it, idempotently, in the order in which it is written, over channels of its own: a refusal closes
    /// its channel. Returns the queues that exist without the delivery limit [`NO_LIMIT`], which are used as they are.
    ///
    /// # Errors
    /// When the broker refuses, as it does for a name that exists with other arguments.
    pub(super) async fn declare(
        &self,
        connection: &Connection,
        vhost: &str,
    ) -> Result<Vec<String>, DeclareError> {
        let mut channel = connection.create_channel().await?;
        let mut outdated = Vec::new();
        for exchange in &self.exchanges {
            exchange.declare(&channel).await.map_err(|error| {
                let remedy = "delete it, for example on the management page";
                refused(error, format!("exchange {}", exchange.name), remedy.to_owned())
            })?;
        }
        for queue in &self.queues {
            let mut declared = queue.declare(&channel, true).await;
            if let (Err(error), true) = (&declared, queue.has_no_limit())
                && mismatch(error).is_some()
            {
                channel = connection.create_channel().await?;
                declared = queue.declare(&channel, false).await;
                outdated.push(queue.name.clone());
            }
            declared.map_err(|error| {
                let remedy = format!("delete it: {}", delete_command(vhost, &queue.name));
                refused(error, format!("queue {}", queue.name), remedy)
            })?;
        }
        for Binding { source, destination, routing_key, arguments } in &self.bindings {
            let (queue, exchange) = (destination.as_str().into(), source.as_str().into());
            let (key, options) = (routing_key.as_str().into(), QueueBindOptions::default());
            channel.queue_bind(queue, exchange, key, options, table(arguments)).await?;
        }
        // Refused or not, the channel is of no more use.
        let _ = channel.close(200, "declared".into()).await;
        Ok(outdated)
    }
}

/// The command that deletes a queue, messages included: quorum queues know no `--if-empty`.
pub(super) fn delete_command(vhost: &str, queue: &str) -> String {
    format!("rabbitmqctl delete_queue --vhost {vhost} {queue}")
}

impl Exchange {
    async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        let options = ExchangeDeclareOptions { durable: self.durable, ..Default::default() };
        let kind = match self.kind.as_str() {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "headers" => ExchangeKind::Headers,
            "topic" => ExchangeKind::Topic,
            custom => ExchangeKind::Custom(custom.to_owned()),
        };
        channel.exchange_declare(self.name.as_str().into(), kind, options, table(&self.arguments)).await
    }
}

impl Queue {
    fn has_no_limit(&self) -> bool {
        self.arguments.get(DELIVERY_LIMIT).and_then(Value::as_i64) == Some(NO_LIMIT)
    }

    async fn declare(&self, channel: &Channel, with_limit: bool) -> lapin::Result<()> {
        let options = QueueDeclareOptions { durable: self.durable, ..Default::default() };
        let mut arguments = self.arguments.clone();
        if !with_limit {
            arguments.remove(DELIVERY_LIMIT);
        }
        channel.queue_declare(self.name.as_str().into(), options, table(&arguments)).await.map(drop)
    }
}

fn refused(error: lapin::Error, what: String, remedy: String) -> DeclareError {
    match mismatch(&error) {
        Some(difference) => DeclareError::Mismatch { what, difference: difference.to_owned(), remedy },
        None => error.into(),
    }
}

/// The property that differs, if that is why a declaration was refused.
fn mismatch(error: &lapin::Error) -> Option<&str> {
    let ErrorKind::ProtocolError(error) = error.kind() else { return None };
    let is_mismatch = *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED);
    let text = error.get_message().as_str();
    is_mismatch.then(|| text.strip_prefix("PRECONDITION_FAILED - ").unwrap_or(text))
}

fn table(arguments: &Map<String, Value>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Value::Bool(flag) => AMQPValue::Boolean(*flag),
            Value::String(text) => AMQPValue::LongString(text.as_str().into()),
            // The smallest type: RabbitMQ compares the arguments with those of the queue that exists.
            Value::Number(number) => match number.as_i64() {
                Some(number) => {
                    i32::try_from(number).map_or(AMQPValue::LongLongInt(number), AMQPValue::LongInt)
                }
                None => AMQPValue::Void,
            },
            _ => AMQPValue::Void,
        };
        table.insert(name.as_str().into(), value);
    }
    table
}
