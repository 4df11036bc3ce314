//! The names of the AMQP topology, and with feature `broker` its declaration.
//!
//! ```text
//!  exchange checkout ── payment.* ──► queue mailer.payments ── dead letters ──► queue mailer.parking
//!        └ alternate: exchange checkout.unrouted ──► queue checkout.unrouted
//! ```

/// Topic exchange; the routing key of an event is its type.
pub const EXCHANGE: &str = "checkout";

/// What no queue is bound for ends up behind this exchange, in the queue of the same name.
pub const UNROUTED: &str = "checkout.unrouted";

/// The mailer's queue.
pub const MAILER_QUEUE: &str = "mailer.payments";

/// What the mailer is told about.
pub const MAILER_BINDING: &str = "payment.*";

/// What the mailer can't read, with its original bytes.
pub const PARKING_QUEUE: &str = "mailer.parking";

/// Deliveries before a message that keeps killing its consumer is parked. A net for crash loops only:
/// the mailer's own attempts are counted in its database.
pub const DELIVERY_LIMIT: i32 = 20;

#[cfg(feature = "broker")]
pub use declare::declare;

#[cfg(feature = "broker")]
mod declare {
    use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
    use lapin::types::{AMQPValue, FieldTable};
    use lapin::{Channel, ExchangeKind};

    use super::{DELIVERY_LIMIT, EXCHANGE, MAILER_BINDING, MAILER_QUEUE, PARKING_QUEUE, UNROUTED};

    /// Declares all of it, idempotently. Publisher and consumer both do, so that neither waits for the other.
    ///
    /// # Errors
    /// When the broker refuses, as it does for a name that exists with other arguments.
    pub async fn declare(channel: &Channel) -> lapin::Result<()> {
        exchange(channel, UNROUTED, ExchangeKind::Fanout, &[]).await?;
        queue(channel, UNROUTED, &[]).await?;
        bind(channel, UNROUTED, UNROUTED, "").await?;

        exchange(channel, EXCHANGE, ExchangeKind::Topic, &[("alternate-exchange", text(UNROUTED))]).await?;
        // To look at a parked message is to give it back, and the default limit would throw it away after twenty
        // looks. Old brokers know no word for "none".
        queue(channel, PARKING_QUEUE, &[("x-delivery-limit", AMQPValue::LongInt(i32::MAX))]).await?;
        let arguments = [
            ("x-delivery-limit", AMQPValue::LongInt(DELIVERY_LIMIT)),
            ("x-dead-letter-exchange", text("")),
            ("x-dead-letter-routing-key", text(PARKING_QUEUE)),
            // The default strategy loses a dead letter when the broker stops at the wrong moment;
            // this one asks for reject-publish.
            ("x-dead-letter-strategy", text("at-least-once")),
            ("x-overflow", text("reject-publish")),
        ];
        queue(channel, MAILER_QUEUE, &arguments).await?;
        bind(channel, MAILER_QUEUE, EXCHANGE, MAILER_BINDING).await
    }

    async fn exchange(
        channel: &Channel,
        name: &str,
        kind: ExchangeKind,
        arguments: &[(&str, AMQPValue)],
    ) -> lapin::Result<()> {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel.exchange_declare(name.into(), kind, durable, table(arguments)).await
    }

    async fn queue(channel: &Channel, name: &str, arguments: &[(&str, AMQPValue)]) -> lapin::Result<()> {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        let mut arguments = table(arguments);
        arguments.insert("x-queue-type".into(), text("quorum"));
        channel.queue_declare(name.into(), durable, arguments).await.map(|_| ())
    }

    async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
        let options = QueueBindOptions::default();
        channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default()).await
    }

    fn table(arguments: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in arguments {
            table.insert((*name).into(), value.clone());
        }
        table
    }

    fn text(value: &str) -> AMQPValue {
        AMQPValue::LongString(value.into())
    }
}
