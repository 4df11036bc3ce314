//! A steady load of orders, and the latencies of their answers.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use stacks::local::layout::Component::Gateway;
use testkit::wait::eventually;
use tokio::{task::JoinSet, time::sleep};

use crate::harness::{Answer, Placed, System};

const CLIENTS: usize = 4;
/// The pause between two orders of a client.
pub(super) const PAUSE: Duration = Duration::from_millis(25);
/// The least number of orders in a window.
const MIN_ORDERS: usize = 50;

/// An accepted order, with the times of request and answer.
pub(super) struct Accepted {
    pub(super) order: Placed,
    pub(super) requested: Instant,
    pub(super) answered: Instant,
}

/// Clients that place orders until the load stops.
pub(super) struct Load {
    accepted: Arc<Mutex<Vec<Accepted>>>,
    is_over: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    pub(super) fn start(system: &System) -> Self {
        let accepted: Arc<Mutex<Vec<Accepted>>> = Arc::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (accepted, is_over) = (accepted.clone(), is_over.clone());
            let url = system.url(Gateway) + "/create-order";
            let client = reqwest::Client::new();
            clients.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let requested = Instant::now();
                    // A killed gateway accepts nothing.
                    if let Ok(answer) = client.post(&url).send().await
                        && answer.status() == 201
                    {
                        let order = Placed::from(&Answer::of(answer).await);
                        accepted.lock().unwrap().push(Accepted {
                            order,
                            requested,
                            answered: Instant::now(),
                        });
                    }
                    sleep(PAUSE).await;
                }
            });
        }
        Self { accepted, is_over, clients }
    }

    /// The id of the last accepted order.
    pub(super) fn newest(&self) -> String {
        self.accepted.lock().unwrap().last().expect("no order was accepted").order.id.clone()
    }

    pub(super) async fn stop(self) -> Vec<Accepted> {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        std::mem::take(&mut *self.accepted.lock().unwrap())
    }
}

/// Sorted durations of the orders that began and ended within some windows of time.
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn within(orders: &[Accepted], windows: &[(Instant, Instant)]) -> Self {
        let is_within = |order: &&Accepted| {
            windows.iter().any(|(from, to)| *from <= order.requested && order.answered <= *to)
        };
        let mut took: Vec<_> =
            orders.iter().filter(is_within).map(|order| order.answered - order.requested).collect();
        assert!(took.len() >= MIN_ORDERS, "{} orders are too few to compare", took.len());
        took.sort();
        Self(took)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The longest duration without this share of the slowest.
    pub(super) fn all_but(&self, share: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * (1.0 - share)) as usize]
    }
}

/// A window of this length, or longer if that is too short for a percentile.
pub(super) async fn window(load: &Load, length: Duration) -> (Instant, Instant) {
    let begun = Instant::now();
    sleep(length).await;
    eventually("enough orders", async || {
        let number = load.accepted.lock().unwrap().iter().filter(|order| order.requested >= begun).count();
        if number >= MIN_ORDERS { Ok(()) } else { Err(format!("{number} were accepted")) }
    })
    .await;
    (begun, Instant::now())
}
