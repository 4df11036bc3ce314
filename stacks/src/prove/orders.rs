//! The orders whose telemetry is to be proven.

use std::{
    cell::RefCell,
    future,
    time::{Duration, Instant},
};

use super::report::{Check, Missing};
use crate::orders::{Answered, Client, Order, Pace, Schedule, Sort};

/// An accepted order.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) order: Order,
    /// When the client had its answer.
    pub(super) at: Instant,
}

/// The orders that are to be placed, and those that have been.
pub(super) struct Orders {
    wanted: usize,
    state: RefCell<State>,
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
        Self { wanted, state: RefCell::default() }
    }

    /// Places all of them at a rate per second.
    pub(super) async fn place(&self, client: &Client, rate: u32) {
        let schedule = Schedule { pace: Pace::Rate(rate), count: Some(self.wanted as u64) };
        client.run(schedule, || Sort::Sample, future::pending(), |answered| self.add(answered)).await;
        self.state.borrow_mut().over = Some(Instant::now());
    }

    fn add(&self, Answered { latency, at, outcome, .. }: Answered) {
        let mut state = self.state.borrow_mut();
        match outcome {
            Ok(Some(order)) => {
                state.placed.push(Placed { order, at });
                state.took.push(latency);
            }
            Ok(None) => state.refused.push("no order in the answer".into()),
            Err(reason) => state.refused.push(reason),
        }
    }

    /// The orders accepted so far.
    pub(super) fn placed(&self) -> Vec<Placed> {
        self.state.borrow().placed.clone()
    }

    /// When the last answer came; none while some are still to come.
    pub(super) fn over(&self) -> Option<Instant> {
        self.state.borrow().over
    }

    /// The check that every order was accepted.
    pub(super) fn check(&self) -> Check {
        let state = self.state.borrow();
        let mut missing = Missing::default();
        for reason in &state.refused {
            missing.add(reason, "");
        }
        Check::each("order accepted", (state.placed.len(), self.wanted), state.took.clone(), missing)
    }
}
