//! A connection that is made again whenever it is lost.
//!
//! A [`Connection`] owns one task: it connects, prepares the link for its user, publishes it as the [`State`], waits until
//! the link is lost or given up, and begins again after [`PAUSE`]. The state is the one source for the user of the link,
//! the readiness probe and the gauge.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use slog::{Logger, info, warn};
use telemetry::Chain;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::broker::{Broker, BrokerError};
use super::link::Link;
use crate::http::Check;

/// Between two attempts to connect, and between two checks whether a link is still open.
const PAUSE: Duration = Duration::from_secs(1);
const PREPARE_DEADLINE: Duration = Duration::from_secs(5);

/// The state of a connection.
#[derive(Clone)]
enum State<T> {
    /// An attempt to connect is in progress.
    Connecting,
    /// The link, and what it was prepared with.
    Up(Arc<Link>, T),
    /// The last attempt failed, or the link was lost.
    Down,
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
            State::Connecting | State::Down => false,
        };
        match &*state.wait_for(is_next).await.ok()? {
            State::Up(link, prepared) => Some((link.clone(), prepared.clone())),
            _ => None,
        }
    }

    /// A check for `/readyz`: `down` while there is no link, degraded while the broker has blocked it.
    pub fn check(&self, down: Check) -> impl Fn() -> Check + Send + Sync + 'static
    where
        T: Send + Sync,
    {
        let state = self.state.clone();
        move || match &*state.borrow() {
            State::Up(link, _) if link.is_blocked() => {
                Check::Degraded("the broker takes no messages: its memory or disk is short".to_owned())
            }
            State::Up(..) => Check::Ok,
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
        let last = self.state.send_replace(State::Down);
        if let State::Up(link, _) = last {
            link.close().await;
        }
        self.state.send_replace(State::Closed);
    }

    async fn connect_for_ever(&self) {
        // An outage is worth one line, not one each second.
        let mut is_failing = false;
        loop {
            match self.connect().await {
                Ok((link, prepared)) => {
                    info!(self.log, "connected to the broker");
                    is_failing = false;
                    self.state.send_replace(State::Up(link.clone(), prepared));
                    link.lost(PAUSE).await;
                    self.state.send_replace(State::Down);
                    link.close().await;
                }
                Err(error) => {
                    if !is_failing {
                        warn!(self.log, "no connection to the broker"; "error.message" => Chain(&error));
                    }
                    is_failing = true;
                    self.state.send_replace(State::Down);
                }
            }
            sleep(PAUSE).await;
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
