//! One connection to the broker with one channel, for one purpose: a blocked publisher must not hold up
//! acknowledgements.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::{Channel, Connection};
use tokio::sync::watch;
use tokio::time::timeout;

use super::definitions::{DeclareError, Definitions, delete_command};

const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// A connection with a channel. Nothing in it recovers: after an error it is given up, and another one made.
pub struct Link {
    connection: Connection,
    /// The channel; closed for good by its first error.
    pub channel: Channel,
    topology: Topology,
    is_given_up: watch::Sender<bool>,
}

/// The topology as it was declared last.
pub(super) struct Topology {
    pub(super) definitions: Arc<Definitions>,
    pub(super) vhost: String,
    /// The queues that an earlier version has declared without their delivery limit.
    pub(super) outdated: Mutex<Vec<String>>,
}

impl Link {
    pub(super) fn new(connection: Connection, channel: Channel, topology: Topology) -> Self {
        Self { connection, channel, topology, is_given_up: watch::Sender::new(false) }
    }

    /// Declares the topology again, where something of it may have been deleted.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn declare(&self) -> Result<(), DeclareError> {
        let Topology { definitions, vhost, outdated } = &self.topology;
        let found = definitions.declare(&self.connection, vhost).await?;
        *outdated.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    /// The queues that an earlier version has declared, and how to replace them; `None` where there are none.
    pub fn outdated(&self) -> Option<String> {
        let Topology { vhost, outdated, .. } = &self.topology;
        let outdated = outdated.lock().unwrap_or_else(PoisonError::into_inner);
        let commands: Vec<_> = outdated.iter().map(|queue| delete_command(vhost, queue)).collect();
        (!outdated.is_empty()).then(|| {
            format!(
                "{} without a delivery limit of ours: RabbitMQ 4 drops a message after 20 failed deliveries; \
                 while it is empty: {}",
                outdated.join(", "),
                commands.join("; ")
            )
        })
    }

    /// Ends the use of the link; the supervisor closes it and connects again.
    pub fn give_up(&self) {
        self.is_given_up.send_replace(true);
    }

    /// Whether the broker takes no messages over this connection, for an alarm of its memory or disk. It says so after the
    /// first publish of the alarm.
    pub fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    pub(super) fn is_given_up(&self) -> bool {
        *self.is_given_up.borrow()
    }

    /// Waits until the link is given up or found to be closed; it is checked once in each `period`.
    pub(super) async fn lost(&self, period: Duration) {
        let mut is_given_up = self.is_given_up.subscribe();
        while self.is_open() {
            if timeout(period, is_given_up.wait_for(|given_up| *given_up)).await.is_ok() {
                return;
            }
        }
    }

    /// Whether connection and channel are open, according to lapin.
    fn is_open(&self) -> bool {
        self.connection.status().connected() && self.channel.status().connected()
    }

    /// Closes the connection, but does not wait for ever: a blocked broker never answers.
    pub async fn close(&self) {
        // Closed, refused and too late have the same result: the link is closed.
        let _ = timeout(CLOSE_DEADLINE, self.connection.close(200, "goodbye".into())).await;
    }
}
