//! Events that no queue took: the alternate exchange keeps them, and they are brought back from there.
//!
//! That happens when somebody has deleted the mailer's queue or its binding. The topology is declared again first.

use std::time::Duration;

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use payment_api::topology;
use service::amqp::{Link, RedriveError, redrive};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);
/// Events that are brought back in one go; the rest waits for the next.
const MOST: u32 = 256;

/// Why events could not be brought back; they are still where they were, or where they belong.
#[derive(Debug, thiserror::Error)]
pub enum UnroutedError {
    /// The broker refused.
    #[error("the broker can't be used")]
    Amqp(#[from] lapin::Error),
    /// An event could not be moved.
    #[error(transparent)]
    Redrive(#[from] RedriveError),
    /// The broker did not answer in time.
    #[error("the broker did not answer in time")]
    Deadline,
}

/// Publishes again what no queue took, and says how many events that were. The link must be in confirm mode.
///
/// # Errors
/// When the broker can't be used.
pub async fn bring_back(link: &Link) -> Result<u32, UnroutedError> {
    timeout(DEADLINE, move_all(link)).await.map_err(|_| UnroutedError::Deadline)?
}

async fn move_all(link: &Link) -> Result<u32, UnroutedError> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    let queue = link.channel.queue_declare(topology::UNROUTED.into(), passive, FieldTable::default()).await?;
    // As many as there are: what still has no queue comes straight back, and must not be taken twice.
    let there = queue.message_count().min(MOST);
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
