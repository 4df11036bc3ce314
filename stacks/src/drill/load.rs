//! A small load: without orders there is nothing to raise an alert about.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::Client;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Between two orders.
const PACE: Duration = Duration::from_millis(100);
/// How long an order is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const AGENT: &str = concat!("omnitrace-drill/", env!("CARGO_PKG_VERSION"), " (synthetic)");

/// Places the sample order at a steady pace, whatever becomes of it, until it is dropped.
pub(super) async fn orders(gateway: &str) -> Result<std::convert::Infallible> {
    let client = Client::builder().no_proxy().timeout(PATIENCE).user_agent(AGENT).build();
    let client = client.context("cannot make an HTTP client")?;
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // With it go the orders that are still under way.
    let mut under_way = JoinSet::new();
    loop {
        ticks.tick().await;
        while under_way.try_join_next().is_some() {}
        let order = client.post(format!("{gateway}/create-order")).send();
        // That it fails may be the point.
        under_way.spawn(async move { order.await.map(drop) });
    }
}
