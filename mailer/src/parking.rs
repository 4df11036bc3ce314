//! The parking queue: messages that could not be read, with their bytes. They are listed without taking them, and moved back
//! to where they came from or discarded; each time over a link of its own, because that is rare.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicNackOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use payment_api::event::PaymentEvent;
use payment_api::topology::{MAILER_QUEUE, PARKING_QUEUE};
use service::amqp::{Broker, BrokerError, Link};
use service::amqp::{RedriveError, redrive};
use telemetry::amqp::context_of;
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use crate::dead_letter::{DeadLetter, FailedAttempt, State, Story};
use crate::redaction::redacted;

const LIST_DEADLINE: Duration = Duration::from_secs(10);
const REPLAY_DEADLINE: Duration = Duration::from_secs(60);

/// Why the parking queue could not be used; its messages are still there.
#[derive(Debug, thiserror::Error)]
pub enum ParkingError {
    /// There is no connection to the broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The broker refused.
    #[error("the parking queue can't be used")]
    Amqp(#[from] lapin::Error),
    /// A message could not be moved.
    #[error(transparent)]
    Redrive(#[from] RedriveError),
    /// The broker did not answer in time.
    #[error("the broker did not answer in time")]
    Deadline,
}

/// The oldest messages in the queue; they stay there.
///
/// # Errors
/// When the broker can't be used.
pub async fn list(broker: &Broker, limit: usize) -> Result<Vec<DeadLetter>, ParkingError> {
    let link = broker.connect("email-service dead letters").await?;
    let letters = timeout(LIST_DEADLINE, list_all(&link, limit)).await;
    link.close().await;
    letters.map_err(|_| ParkingError::Deadline)?
}

/// The message with this id, with its story; it stays in the queue.
///
/// # Errors
/// When the broker can't be used.
pub async fn find(broker: &Broker, id: &str) -> Result<Option<Story>, ParkingError> {
    let link = broker.connect("email-service dead letters").await?;
    let story = timeout(LIST_DEADLINE, find_one(&link, id)).await;
    // Messages without an answer return to the queue with the end of the connection.
    link.close().await;
    story.map_err(|_| ParkingError::Deadline)?
}

async fn find_one(link: &Link, id: &str) -> Result<Option<Story>, ParkingError> {
    while let Some(delivery) = get(link).await? {
        if message_id(&delivery) == Some(id) {
            return Ok(Some(story(&delivery)));
        }
    }
    Ok(None)
}

/// Moves the messages with this id, or all that are in the queue now, to where they came from; returns their number.
///
/// # Errors
/// When the broker can't be used; the messages that were not moved by then are still in the queue.
pub async fn replay(broker: &Broker, id: Option<&str>) -> Result<u64, ParkingError> {
    take_out(broker, id.map_or(Which::All, Which::Id), Fate::MovedBack).await
}

/// Removes the messages with this id, or all that are in the queue now, for good; returns their number.
///
/// # Errors
/// When the broker can't be used; the messages that were not removed by then are still in the queue.
pub async fn discard(broker: &Broker, id: Option<&str>) -> Result<u64, ParkingError> {
    take_out(broker, id.map_or(Which::All, Which::Id), Fate::Removed).await
}

/// Removes the messages that were parked `retention` ago or earlier; returns their number.
///
/// # Errors
/// When the broker can't be used; the rest is removed the next time.
pub async fn forget(broker: &Broker, retention: Duration) -> Result<u64, ParkingError> {
    take_out(broker, Which::ParkedBefore(OffsetDateTime::now_utc() - retention), Fate::Removed).await
}

/// The messages that are taken out.
#[derive(Clone, Copy)]
enum Which<'a> {
    All,
    /// The one with this id.
    Id(&'a str),
    /// Those that were parked at this time or earlier.
    ParkedBefore(OffsetDateTime),
}

impl Which<'_> {
    fn has(self, delivery: &Delivery) -> bool {
        match self {
            Self::All => true,
            Self::Id(id) => message_id(delivery) == Some(id),
            Self::ParkedBefore(time) => Death::of(delivery).time().is_some_and(|parked| parked <= time),
        }
    }
}

/// What becomes of a message that is taken out.
#[derive(Clone, Copy)]
enum Fate {
    MovedBack,
    Removed,
}

async fn take_out(broker: &Broker, which: Which<'_>, fate: Fate) -> Result<u64, ParkingError> {
    let link = broker.connect("email-service dead letters").await?;
    let taken = timeout(REPLAY_DEADLINE, take(&link, which, fate)).await;
    // Messages without an answer return to the queue with the end of the connection.
    link.close().await;
    taken.map_err(|_| ParkingError::Deadline)?
}

async fn get(link: &Link) -> lapin::Result<Option<Delivery>> {
    let message = link.channel.basic_get(PARKING_QUEUE.into(), BasicGetOptions { no_ack: false }).await?;
    Ok(message.map(|message| message.delivery))
}

async fn requeue(link: &Link, tag: u64, multiple: bool) -> lapin::Result<()> {
    link.channel.basic_nack(tag, BasicNackOptions { multiple, requeue: true }).await
}

async fn list_all(link: &Link, limit: usize) -> Result<Vec<DeadLetter>, ParkingError> {
    let mut letters = Vec::new();
    let mut last = None;
    while letters.len() < limit
        && let Some(delivery) = get(link).await?
    {
        letters.push(letter(&delivery));
        last = Some(delivery.delivery_tag);
    }
    if let Some(last) = last {
        requeue(link, last, true).await?;
    }
    Ok(letters)
}

async fn take(link: &Link, which: Which<'_>, fate: Fate) -> Result<u64, ParkingError> {
    link.channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = link.channel.queue_declare(PARKING_QUEUE.into(), passive, FieldTable::default()).await?;
    let (mut taken, mut others) = (0, Vec::new());
    // No more than there were: a message that is parked again meanwhile is not taken twice.
    for _ in 0..queue.message_count() {
        let Some(delivery) = get(link).await? else { break };
        if !which.has(&delivery) {
            others.push(delivery.delivery_tag);
            // They are in the order in which they were parked.
            if let Which::ParkedBefore(_) = which {
                break;
            } else {
                continue;
            };
        }
        match fate {
            Fate::MovedBack => {
                let origin = Death::of(&delivery).origin();
                let (exchange, key) = origin.unwrap_or((String::new(), MAILER_QUEUE.to_owned()));
                redrive(&link.channel, &delivery, &exchange, &key).await?;
            }
            Fate::Removed => delivery.ack(BasicAckOptions::default()).await.map(drop)?,
        }
        taken += 1;
    }
    for tag in others {
        requeue(link, tag, false).await?;
    }
    Ok(taken)
}

fn message_id(delivery: &Delivery) -> Option<&str> {
    delivery.properties.message_id().as_ref().map(|id| id.as_str()).filter(|id| !id.is_empty())
}

fn story(delivery: &Delivery) -> Story {
    let (letter, death) = (letter(delivery), Death::of(delivery));
    let parked = FailedAttempt { at: death.time(), answer: letter.reason.clone() };
    Story { letter, replay_trace_id: None, history: vec![parked], event: redacted(&delivery.data) }
}

fn letter(delivery: &Delivery) -> DeadLetter {
    let death = Death::of(delivery);
    let reason = match PaymentEvent::read(&delivery.data, message_id(delivery)) {
        Ok(_) => death.reason().to_owned(),
        Err(error) => error.to_string(),
    };
    DeadLetter::new(
        message_id(delivery).map(str::to_owned),
        order_id(&delivery.data),
        &context_of(delivery.properties.headers().as_ref()),
        State::Parked,
        reason,
        death.count(),
        death.time(),
    )
}

/// The order of an event that can't be read, where its id can.
fn order_id(data: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(data).ok()?;
    let id: Uuid = value.pointer("/data/orderId")?.as_str()?.parse().ok()?;
    Some(id.to_string())
}

/// The reason of the broker for parking a message: the newest entry of `x-death`.
struct Death<'a>(Option<&'a FieldTable>);

impl<'a> Death<'a> {
    fn of(delivery: &'a Delivery) -> Self {
        let deaths =
            delivery.properties.headers().as_ref().and_then(|headers| headers.inner().get("x-death"));
        Self(deaths.and_then(AMQPValue::as_array).and_then(|deaths| match deaths.as_slice().first()? {
            AMQPValue::FieldTable(death) => Some(death),
            _ => None,
        }))
    }

    fn field(&self, name: &str) -> Option<&'a AMQPValue> {
        self.0?.inner().get(name)
    }

    fn origin(&self) -> Option<(String, String)> {
        let key = self.field("routing-keys")?.as_array()?.as_slice().first()?;
        Some((text(self.field("exchange")?)?, text(key)?))
    }

    /// Why a message is parked that can be read.
    fn reason(&self) -> &'static str {
        match self.field("reason").and_then(text).as_deref() {
            Some("expired") => "it expired before it was delivered",
            Some("maxlen") => "the queue was full",
            _ => "it was delivered too often without an answer",
        }
    }

    fn time(&self) -> Option<OffsetDateTime> {
        let AMQPValue::Timestamp(seconds) = self.field("time")? else { return None };
        OffsetDateTime::from_unix_timestamp(i64::try_from(*seconds).ok()?).ok()
    }

    fn count(&self) -> u32 {
        let count = match self.field("count") {
            Some(AMQPValue::LongLongInt(count)) => u32::try_from(*count).ok(),
            _ => None,
        };
        count.unwrap_or(1)
    }
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}
