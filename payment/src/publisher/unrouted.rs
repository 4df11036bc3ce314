//! Events that no queue took: the alternate exchange keeps them, and from there they are published again.
//!
//! That happens when the queue of the mailer or its binding was deleted. The topology is declared again first.

use std::time::Duration;

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use payment_api::topology;
use service::amqp::{DeclareError, Link, RedriveError, redrive};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);
/// Events of one call; the rest waits for the next.
const MAX_EVENTS: u32 = 256;

/// Why events were not published again; they are still in the queue, or where they belong.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnroutedError {
    #[error("the broker can't be used")]
    Amqp(#[from] lapin::Error),
    #[error(transparent)]
    Declare(#[from] DeclareError),
    #[error(transparent)]
    Redrive(#[from] RedriveError),
    #[error("the broker did not answer in time")]
    Deadline,
}

/// Publishes events again that no queue took, and returns their number. The link must be in confirm mode.
pub(super) async fn republish(link: &Link) -> Result<u32, UnroutedError> {
    timeout(DEADLINE, move_all(link)).await.map_err(|_| UnroutedError::Deadline)?
}

async fn move_all(link: &Link) -> Result<u32, UnroutedError> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = link.channel.queue_declare(topology::UNROUTED.into(), passive, FieldTable::default()).await?;
    // No more than there are now: an event that still has no queue comes straight back, and must not be taken twice.
    let there = queue.message_count().min(MAX_EVENTS);
    if there > 0 {
        link.declare().await?;
    }
    let mut moved = 0;
    while moved < there
        && let Some(message) =
            link.channel.basic_get(topology::UNROUTED.into(), BasicGetOptions::default()).await?
    {
        let key = message.delivery.routing_key.as_str();
        redrive(&link.channel, &message.delivery, topology::EXCHANGE, key).await?;
        moved += 1;
    }
    Ok(moved)
}
