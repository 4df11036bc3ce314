//! A connection that is made again whenever it is lost.
//!
//! A [`Connection`] owns one task: it connects, prepares the link for its user, publishes it as the [`State`], waits until
//! the link is lost or given up, and begins again after a pause that grows while attempts fail. The state is the one source for the user of the link,
//! the readiness probe and the gauge.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use slog::{Logger, info, warn};
use telemetry::Chain;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::broker::{Broker, BrokerError};
use super::link::Link;
use crate::Backoff;
use crate::http::Check;

/// Between two checks whether a link is still open.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
const MIN_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// While a queue has other arguments: a person has to act.
const MAX_MISMATCH_BACKOFF: Duration = Duration::from_secs(20);
/// The age of a link from which the next failure counts as the first.
const STABLE: Duration = Duration::from_secs(10);
/// Between two checks whether outdated queues have been deleted.
const REDECLARE_PERIOD: Duration = Duration::from_secs(10);
const PREPARE_DEADLINE: Duration = Duration::from_secs(5);

/// The state of a connection.
#[derive(Clone)]
enum State<T> {
    /// An attempt to connect is in progress.
    Connecting,
    /// The link, and what it was prepared with.
    Up(Arc<Link>, T),
    /// The last attempt failed, or the link was lost; with the reason where a person has to act.
    Down(Option<Arc<str>>),
    /// Closed for good.
    Closed,
}

/// A supervised connection; clones share it. It ends with the last clone, or by [`Connection::close`].
#[derive(Clone)]
pub struct Connection<T> {
    state: watch::Receiver<State<T>>,
    closing: Arc<watch::Sender<()>>,
}

impl<T: Clone + 'static> Connection<T> {
    /// Connects to `broker` from now on. `name` is what the broker's management page shows; `prepare` makes a new link
    /// ready for its user, and what it returns is handed out with the link.
    pub fn open(
        broker: Arc<Broker>,
        name: &'static str,
        prepare: impl AsyncFn(&Link) -> Result<T, BrokerError> + 'static,
        log: &Logger,
    ) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let (closing, closed) = watch::channel(());
        let supervisor = Supervisor { broker, name, prepare, state: sender, log: log.clone() };
        actix::spawn(supervisor.run(closed));
        Self { state, closing: Arc::new(closing) }
    }

    /// The link, if there is one; waits for an attempt that is in progress.
    pub async fn link(&self) -> Option<Arc<Link>> {
        let mut state = self.state.clone();
        match &*state.wait_for(|state| !matches!(state, State::Connecting)).await.ok()? {
            State::Up(link, _) => Some(link.clone()),
            _ => None,
        }
    }

    /// The next link that has not been given up, and what it was prepared with; `None` once the connection is closed.
    pub async fn next(&self) -> Option<(Arc<Link>, T)> {
        let mut state = self.state.clone();
        let is_next = |state: &State<T>| match state {
            State::Up(link, _) => !link.is_given_up(),
            State::Closed => true,
            State::Connecting | State::Down(_) => false,
        };
        match &*state.wait_for(is_next).await.ok()? {
            State::Up(link, prepared) => Some((link.clone(), prepared.clone())),
            _ => None,
        }
    }

    /// A check for `/readyz`: `down` while there is no link, degraded while the broker has blocked it, or has queues that an
    /// earlier version declared.
    pub fn check(&self, down: Check) -> impl Fn() -> Check + Send + Sync + 'static
    where
        T: Send + Sync,
    {
        let state = self.state.clone();
        move || match &*state.borrow() {
            State::Up(link, _) if link.is_blocked() => {
                Check::Degraded("the broker takes no messages: its memory or disk is short".to_owned())
            }
            State::Up(link, _) => link.outdated().map_or(Check::Ok, Check::Degraded),
            State::Down(Some(reason)) => match down {
                Check::Failed(_) => Check::Failed(reason.to_string()),
                _ => Check::Degraded(reason.to_string()),
            },
            _ => down.clone(),
        }
    }

    /// Shows in `gauge` whether there is a link: 1 or 0.
    pub fn show_in(&self, gauge: IntGauge) {
        let mut state = self.state.clone();
        actix::spawn(async move {
            loop {
                gauge.set(i64::from(is_up(&state.borrow_and_update())));
                if state.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// Closes the link and connects no more.
    pub async fn close(&self) {
        self.closing.send_replace(());
        let _ = self.state.clone().wait_for(|state| matches!(state, State::Closed)).await;
    }
}

fn is_up<T>(state: &State<T>) -> bool {
    matches!(state, State::Up(..))
}

struct Supervisor<T, P> {
    broker: Arc<Broker>,
    name: &'static str,
    prepare: P,
    state: watch::Sender<State<T>>,
    log: Logger,
}

impl<T: Clone, P: AsyncFn(&Link) -> Result<T, BrokerError>> Supervisor<T, P> {
    async fn run(self, mut closing: watch::Receiver<()>) {
        tokio::select! {
            // It is an error where all handles were dropped, which means the same.
            _ = closing.changed() => {}
            () = self.connect_for_ever() => {}
        }
        let last = self.state.send_replace(State::Down(None));
        if let State::Up(link, _) = last {
            link.close().await;
        }
        self.state.send_replace(State::Closed);
    }

    async fn connect_for_ever(&self) {
        let mut backoff = Backoff::new(MIN_BACKOFF, MAX_BACKOFF);
        let mut mismatch_backoff = Backoff::new(MIN_BACKOFF, MAX_MISMATCH_BACKOFF);
        // An outage is worth one line, not one each second.
        let mut said = String::new();
        loop {
            let mut reason = None;
            match self.connect().await {
                Ok((link, prepared)) => {
                    info!(self.log, "connected to the broker");
                    if let Some(outdated) = link.outdated() {
                        warn!(self.log, "a queue of an earlier version is used as it is"; "error.message" => outdated);
                    }
                    said.clear();
                    let begun = Instant::now();
                    self.state.send_replace(State::Up(link.clone(), prepared));
                    watch_over(&link).await;
                    self.state.send_replace(State::Down(None));
                    link.close().await;
                    if begun.elapsed() >= STABLE {
                        backoff.reset();
                    }
                    mismatch_backoff.reset();
                }
                Err(error) => {
                    let text = Chain(&error).to_string();
                    if matches!(error, BrokerError::Declare(_)) {
                        reason = Some(Arc::from(text.as_str()));
                    }
                    if said != text {
                        warn!(self.log, "no connection to the broker"; "error.message" => &text);
                    }
                    said = text;
                }
            }
            let pause = if reason.is_some() { &mut mismatch_backoff } else { &mut backoff }.pause();
            self.state.send_replace(State::Down(reason));
            sleep(pause).await;
            self.state.send_replace(State::Connecting);
        }
    }

    async fn connect(&self) -> Result<(Arc<Link>, T), BrokerError> {
        let link = self.broker.connect(self.name).await?;
        let prepared = timeout(PREPARE_DEADLINE, (self.prepare)(&link)).await;
        let prepared = prepared.map_err(|_| BrokerError::Deadline(PREPARE_DEADLINE))?;
        Ok((Arc::new(link), prepared?))
    }
}

/// Waits until the link is lost or given up, and notices when outdated queues have been deleted.
async fn watch_over(link: &Link) {
    let redeclare = async {
        while link.outdated().is_some() {
            sleep(REDECLARE_PERIOD).await;
            // A link that can't declare is lost, or the next one is told why.
            if link.declare().await.is_err() {
                link.give_up();
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = link.lost(CHECK_PERIOD) => {}
        () = redeclare => {}
    }
}
