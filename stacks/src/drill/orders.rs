//! A small load: without orders there is nothing to alert about.

use std::{convert::Infallible, future};

use anyhow::Result;

use crate::orders::{Client, Pace, Schedule, Sort};

/// Orders per second.
const RATE: u32 = 10;

/// Places the sample order at a steady rate until it is dropped, whether the orders succeed or not.
pub(super) async fn place_orders(gateway: &str) -> Result<Infallible> {
    let client = Client::new(gateway, "drill")?;
    let schedule = Schedule { pace: Pace::Rate(RATE), count: None };
    client.run(schedule, || Sort::Sample, future::pending(), drop).await;
    future::pending().await
}
