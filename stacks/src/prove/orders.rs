//! The orders whose way is to be proven.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use reqwest::Client;
use tokio::time::{MissedTickBehavior, interval};

use super::report::{Check, Missing};
use crate::order::{self, Order};

/// An order that was accepted.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) order: Order,
    /// When the client had its answer.
    pub(super) at: Instant,
}

/// What has been placed so far.
pub(super) struct Orders {
    wanted: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    placed: Vec<Placed>,
    refused: Vec<String>,
    took: Vec<Duration>,
    /// When the last answer came.
    over: Option<Instant>,
}

impl Orders {
    pub(super) fn new(wanted: usize) -> Self {
        Self { wanted, state: Mutex::default() }
    }

    /// Places all of them, so many each second, whether the earlier ones are answered or not.
    pub(super) async fn place(&self, client: &Client, gateway: &str, rate: u32) {
        let mut clock = interval(Duration::from_secs(1) / rate);
        clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut begun = 0;
        let mut under_way = FuturesUnordered::new();
        while begun < self.wanted || !under_way.is_empty() {
            tokio::select! {
                _ = clock.tick(), if begun < self.wanted => {
                    begun += 1;
                    under_way.push(self.place_one(client, gateway));
                }
                Some(()) = under_way.next() => {}
            }
        }
        self.state().over = Some(Instant::now());
    }

    async fn place_one(&self, client: &Client, gateway: &str) {
        let asked = Instant::now();
        let answer = order::place(client, gateway).await;
        let at = Instant::now();
        let mut state = self.state();
        match answer {
            Ok(order) => {
                state.placed.push(Placed { order, at });
                state.took.push(at - asked);
            }
            Err(error) => state.refused.push(format!("{error:#}")),
        }
    }

    /// The orders that were accepted so far.
    pub(super) fn placed(&self) -> Vec<Placed> {
        self.state().placed.clone()
    }

    /// When the last answer came; nothing while some are still to come.
    pub(super) fn over(&self) -> Option<Instant> {
        self.state().over
    }

    /// Whether all were accepted.
    pub(super) fn check(&self) -> Check {
        let state = self.state();
        let mut missing = Missing::default();
        for reason in &state.refused {
            missing.add(reason, "");
        }
        Check::each("order accepted", (state.placed.len(), self.wanted), state.took.clone(), missing)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is left half done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
