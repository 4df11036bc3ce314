//! Exchanges, queues and bindings as data, in RabbitMQ's own format of definitions.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use serde::Deserialize;
use serde_json::{Map, Value};

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
    /// Declares all of it, idempotently, in the order in which it is written.
    ///
    /// # Errors
    /// When the broker refuses, as it does for a name that exists with other arguments.
    pub(super) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        for Exchange { name, kind, durable, arguments } in &self.exchanges {
            let options = ExchangeDeclareOptions { durable: *durable, ..Default::default() };
            let kind = match kind.as_str() {
                "direct" => ExchangeKind::Direct,
                "fanout" => ExchangeKind::Fanout,
                "headers" => ExchangeKind::Headers,
                "topic" => ExchangeKind::Topic,
                custom => ExchangeKind::Custom(custom.to_owned()),
            };
            channel.exchange_declare(name.as_str().into(), kind, options, table(arguments)).await?;
        }
        for Queue { name, durable, arguments } in &self.queues {
            let options = QueueDeclareOptions { durable: *durable, ..Default::default() };
            channel.queue_declare(name.as_str().into(), options, table(arguments)).await?;
        }
        for Binding { source, destination, routing_key, arguments } in &self.bindings {
            let (queue, exchange) = (destination.as_str().into(), source.as_str().into());
            let (key, options) = (routing_key.as_str().into(), QueueBindOptions::default());
            channel.queue_bind(queue, exchange, key, options, table(arguments)).await?;
        }
        Ok(())
    }
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
