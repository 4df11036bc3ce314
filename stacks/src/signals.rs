//! The signals that ask this process to end, and what becomes of its work then.

use std::{pin::pin, process::ExitCode};

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

/// How work has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended<T> {
    /// The work is done.
    Done(T),
    /// A signal has ended the work.
    Interrupted(Signal),
}

impl<T> Ended<T> {
    /// The exit code by the convention of shells: 128 plus the signal.
    pub fn code(self, of: impl FnOnce(T) -> ExitCode) -> ExitCode {
        match self {
            Self::Done(value) => of(value),
            Self::Interrupted(signal) => ExitCode::from(128 + signal.as_raw() as u8),
        }
    }
}

/// Does work until it ends or a signal comes. The signal drops the work, and with it everything that the work has started;
/// `left` then says what is left.
///
/// # Errors
/// Those of the work.
pub async fn interruptible<T>(
    work: impl Future<Output = Result<T>>,
    left: impl FnOnce() -> String,
) -> Result<Ended<T>> {
    let mut interruptions = Interruptions::new()?;
    let signal = tokio::select! {
        done = work => return done.map(Ended::Done),
        signal = interruptions.next() => signal,
    };
    eprintln!("interrupted; {}", left());
    Ok(Ended::Interrupted(signal))
}

/// Finishes work in spite of a first signal, for work that must not be cut off; a second signal drops it.
///
/// # Errors
/// Those of the work.
pub async fn patient<T>(work: impl Future<Output = Result<T>>) -> Result<Ended<T>> {
    let mut interruptions = Interruptions::new()?;
    let mut work = pin!(work);
    let signal = tokio::select! {
        done = &mut work => return done.map(Ended::Done),
        signal = interruptions.next() => signal,
    };
    eprintln!("interrupted; this step is finished first, a second Ctrl-C cuts it off");
    tokio::select! {
        done = work => drop(done?),
        _ = interruptions.next() => {}
    }
    Ok(Ended::Interrupted(signal))
}
