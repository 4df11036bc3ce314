//! One connection to the broker with one channel, for one purpose: a blocked publisher must not hold up
//! acknowledgements.

use std::sync::Arc;
use std::time::Duration;

use lapin::{Channel, Connection};
use tokio::sync::watch;
use tokio::time::timeout;

use super::definitions::Definitions;

const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

/// A connection with a channel. Nothing in it recovers: after an error it is given up, and another one made.
pub struct Link {
    connection: Connection,
    /// The channel; closed for good by its first error.
    pub channel: Channel,
    definitions: Arc<Definitions>,
    is_given_up: watch::Sender<bool>,
}

impl Link {
    pub(super) fn new(connection: Connection, channel: Channel, definitions: Arc<Definitions>) -> Self {
        Self { connection, channel, definitions, is_given_up: watch::Sender::new(false) }
    }

    /// Declares the topology again, where something of it may have been deleted.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn declare(&self) -> lapin::Result<()> {
        self.definitions.declare(&self.channel).await
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
