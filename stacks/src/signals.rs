//! The signals that ask this process to end.

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use crate::process::Signal;

/// SIGHUP, SIGINT and SIGTERM as a stream.
pub struct Interruptions {
    hangup: Signals,
    interrupt: Signals,
    terminate: Signals,
}

impl Interruptions {
    /// Takes over the three signals: they no longer end the process.
    ///
    /// # Errors
    /// When the process cannot listen for signals.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next signal.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.hangup.recv() => Signal::HUP,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
        }
    }
}
