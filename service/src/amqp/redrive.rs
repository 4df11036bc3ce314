//! Moving a message from one queue to another: it is published first and acknowledged then, so that it is in two queues for
//! a short time and never in none.

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Error};

/// Prefixes of the headers that the broker adds to a dead letter; a message is moved without them.
const ADDED: [&str; 5] =
    ["x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"];

/// Why a message was not moved; it is still where it was.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// The broker refused.
    #[error("the broker can't be used")]
    Amqp(#[from] Error),
    /// The broker did not take the message.
    #[error("the broker did not confirm a message")]
    Unconfirmed,
}

/// Publishes `delivery` to `exchange` with this routing key, and removes it from its queue once that is confirmed.
///
/// `channel` must be the one that it was delivered on, in confirm mode. One message at a time: lapin can mix up the
/// returns of publishes that overlap.
///
/// # Errors
/// When the broker refuses the message or has no queue for it. Without an answer this waits: give it a deadline.
pub async fn redrive(
    channel: &Channel,
    delivery: &Delivery,
    exchange: &str,
    routing_key: &str,
) -> Result<(), RedriveError> {
    let mut headers = FieldTable::default();
    for (name, value) in delivery.properties.headers().iter().flat_map(FieldTable::inner) {
        if !ADDED.iter().any(|added| name.as_str().starts_with(added)) {
            headers.insert(name.clone(), value.clone());
        }
    }
    let properties = delivery.properties.clone().with_headers(headers);
    let options = BasicPublishOptions { mandatory: true, ..Default::default() };
    let (exchange, key) = (exchange.into(), routing_key.into());
    let confirmation =
        channel.basic_publish(exchange, key, options, &delivery.data, properties).await?.await?;
    if !confirmation.is_ack() || confirmation.take_message().is_some() {
        return Err(RedriveError::Unconfirmed);
    }
    channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await?;
    Ok(())
}
