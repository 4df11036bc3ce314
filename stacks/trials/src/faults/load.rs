//! Clients that place orders at a steady pace through any fault, and record every answer.

use std::{
    ops::RangeBounds,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use reqwest::{Response, StatusCode};
use serde_json::Value;
use stacks::orders::{self, Client, Schedule};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, sleep_until},
};

use super::{
    history::{Answer, Attempt, Operation, Outcome},
    plan::{Draft, Plan, Twist},
};

/// Before a client repeats a request, or places its next order after a refusal.
const PAUSE: Duration = Duration::from_millis(300);
/// How long a client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Requests of one client for one order during the fault.
const MAX_ATTEMPTS: usize = 4;

/// How many orders are placed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The clients: each waits for its answer before it places its next order.
    pub(crate) clients: usize,
    /// The orders of all clients in a second, unless all of them wait for answers.
    pub(crate) rate: f64,
}

/// The clients of one gateway.
#[derive(Clone)]
pub(crate) struct Clients(Client);

/// The clients at work.
pub(crate) struct Load {
    clients: Clients,
    work: JoinSet<Vec<Draft>>,
    shared: Arc<Shared>,
}

struct Shared {
    plan: Mutex<Plan>,
    pace: Pace,
    /// When the next order is due.
    due: Mutex<Instant>,
    /// Orders that a fault places beside the clients.
    extra: Mutex<Vec<Draft>>,
    /// When each answer came, and how long the client had waited.
    waits: Mutex<Vec<(Instant, Duration)>>,
    accepted: AtomicUsize,
    holding: AtomicBool,
    stopping: AtomicBool,
    stop: Notify,
}

impl Clients {
    /// Clients of the gateway at this URL.
    pub(crate) fn new(gateway: &str) -> Result<Self> {
        Client::new(gateway, "faults").map(Self)
    }

    /// Starts to place the orders of a plan.
    pub(crate) fn start(&self, plan: Plan, pace: Pace) -> Load {
        let shared = Arc::new(Shared {
            plan: Mutex::new(plan),
            pace,
            due: Mutex::new(Instant::now()),
            extra: Mutex::default(),
            waits: Mutex::default(),
            accepted: AtomicUsize::new(0),
            holding: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
        });
        let (clients, this) = (self.clone(), shared.clone());
        // A set of one task: it ends when the load is dropped after an error.
        let mut work = JoinSet::new();
        work.spawn(async move {
            let schedule = Schedule { pace: orders::Pace::Clients(pace.clients), count: None };
            let place = |_, _| clients.clone().take_turn(this.clone());
            let mut done = Vec::new();
            schedule.run(place, this.stop.notified(), |drafts| done.extend(drafts)).await;
            done
        });
        Load { clients: self.clone(), work, shared }
    }

    /// Waits until the next order of the plan is due, then places it, or two that share a key.
    async fn take_turn(self, shared: Arc<Shared>) -> Vec<Draft> {
        sleep_until(shared.next_due().into()).await;
        if shared.holding.load(Ordering::Relaxed) || shared.stopping.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut drafts = lock(&shared.plan).draw();
        for draft in &mut drafts {
            self.place(draft, &shared.stopping).await;
            let waits = draft.operation.attempts.iter().map(|one| (one.ended, one.ended - one.sent));
            lock(&shared.waits).extend(waits);
            match draft.operation.settled() {
                Some(_) => _ = shared.accepted.fetch_add(1, Ordering::Relaxed),
                None => sleep(PAUSE).await,
            }
        }
        drafts
    }

    async fn place(&self, draft: &mut Draft, stopping: &AtomicBool) {
        for _ in 0..MAX_ATTEMPTS {
            self.ask(draft).await;
            let asks_again = match draft.operation.attempts.last().map(|attempt| &attempt.answer) {
                Some(Answer::Unclear(_)) => true,
                Some(Answer::Refused(_)) => draft.twist == Twist::Insists,
                _ => false,
            };
            if !asks_again || stopping.load(Ordering::Relaxed) {
                break;
            }
            sleep(PAUSE).await;
        }
        if draft.operation.settled().is_none() {
            return;
        }
        match draft.twist {
            Twist::Repeats => self.ask(draft).await,
            Twist::Alters => {
                let attempt = self.post(draft, &draft.altered_body()).await;
                draft.operation.altered.push(attempt.answer);
            }
            Twist::None | Twist::Insists | Twist::Shares => {}
        }
    }

    /// Sends the request for an order once.
    pub(crate) async fn ask(&self, draft: &mut Draft) {
        let attempt = self.post(draft, &draft.body()).await;
        draft.operation.attempts.push(attempt);
    }

    /// Repeats the requests until each order is settled or refused, for at most `limit`.
    pub(crate) async fn resolve(&self, drafts: &mut [Draft], limit: Duration) {
        let deadline = Instant::now() + limit;
        for draft in drafts {
            let is_open = |one: &Operation| one.settled().is_none() && !one.is_refused();
            while is_open(&draft.operation) && Instant::now() < deadline {
                self.ask(draft).await;
                if is_open(&draft.operation) {
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn post(&self, draft: &Draft, body: &Value) -> Attempt {
        let mut request = self.0.post().timeout(TIMEOUT).header("idempotency-key", &draft.key).json(body);
        if let Some(client) = draft.client {
            request = request.header("authorization", client);
        }
        let sent = Instant::now();
        let mut failed_trace = None;
        let answer = match request.send().await {
            Ok(response) => read(response, &mut failed_trace).await,
            // Without a connection, the request cannot have had an effect.
            Err(error) if error.is_connect() => Answer::Refused("no connection".into()),
            Err(error) => Answer::Unclear(format!("{:#}", anyhow::Error::new(error.without_url()))),
        };
        Attempt { sent, ended: Instant::now(), answer, failed_trace }
    }
}

impl Shared {
    /// When the next order is due; those that no client was free to place are not made up for.
    fn next_due(&self) -> Instant {
        let mut due = lock(&self.due);
        let now = (*due).max(Instant::now());
        // At random: clients that act together would leave the services idle in between.
        *due = now + Duration::from_secs_f64(2.0 * fastrand::f64() / self.pace.rate);
        now
    }
}

impl Load {
    /// The number of accepted orders.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// The clients.
    pub(crate) fn clients(&self) -> Clients {
        self.clients.clone()
    }

    /// The next order of the plan, for a fault that places it in another way and [adds](Self::add) it then.
    pub(crate) fn draft(&self) -> Draft {
        lock(&self.shared.plan).draft(Twist::None)
    }

    /// Adds an order to those of the clients.
    pub(crate) fn add(&self, draft: Draft) {
        lock(&self.shared.extra).push(draft);
    }

    /// The 99th percentile of the waits for the answers that came in this time.
    pub(crate) fn slowest_percent(&self, time: impl RangeBounds<Instant>) -> Duration {
        let waits = lock(&self.shared.waits);
        let mut waits: Vec<Duration> =
            waits.iter().filter(|(at, _)| time.contains(at)).map(|(_, wait)| *wait).collect();
        waits.sort_unstable();
        waits.get((waits.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Pauses the clients before their next orders, or lets them continue.
    pub(crate) fn hold(&self, hold: bool) {
        self.shared.holding.store(hold, Ordering::Relaxed);
    }

    /// Waits until the clients have finished their current orders, and returns all orders.
    ///
    /// # Errors
    /// When a client panicked.
    pub(crate) async fn stop(mut self) -> Result<Vec<Draft>> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.stop.notify_one();
        let done = self.work.join_next().await.context("cannot collect the orders of the clients")?;
        let mut drafts = done?;
        drafts.append(&mut lock(&self.shared.extra));
        Ok(drafts)
    }
}

async fn read(response: Response, failed_trace: &mut Option<String>) -> Answer {
    let status = response.status();
    let body: Value = match response.json().await {
        Ok(body) => body,
        Err(_) => return Answer::Unclear(format!("{status} with a broken body")),
    };
    if status.is_server_error() {
        *failed_trace = body["traceId"].as_str().map(str::to_owned);
    }
    let kind = body["type"].as_str().unwrap_or_default();
    match (status, kind) {
        (StatusCode::CREATED, _) => match body["orderId"].as_str() {
            Some(order) => Answer::Settled(Outcome::Paid, order.to_owned()),
            None => Answer::Undocumented(body.to_string()),
        },
        // "… The order is <id>."
        (StatusCode::PAYMENT_REQUIRED, "/problems/payment-declined") => {
            let detail = body["detail"].as_str().unwrap_or_default();
            match detail.trim_end_matches('.').rsplit(' ').next() {
                Some(order) => Answer::Settled(Outcome::Declined, order.to_owned()),
                None => Answer::Undocumented(body.to_string()),
            }
        }
        (StatusCode::GATEWAY_TIMEOUT, "/problems/outcome-unknown")
        | (StatusCode::CONFLICT, "/problems/idempotency-in-progress") => Answer::Unclear(kind.to_owned()),
        (StatusCode::SERVICE_UNAVAILABLE, _)
        | (StatusCode::UNPROCESSABLE_ENTITY, "/problems/idempotency-key-reused") => {
            Answer::Refused(kind.to_owned())
        }
        _ => Answer::Undocumented(format!("{status} {body}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic cannot leave these values inconsistent.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
