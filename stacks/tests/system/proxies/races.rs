//! Races for idle connections: a request on a connection that its server is about to close.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use reqwest::Client;
use stacks::address::url;

use super::proxy::{Kind, Proxy};
use crate::harness::{System, inherited};

/// The time after which the proxy closes an idle connection.
const IDLE: Duration = Duration::from_secs(1);
/// The time after which the gateway does; a busy machine may delay either.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// The time for an answer.
const MAX_ANSWER: Duration = Duration::from_secs(30);
/// Requests at once.
const BURST: usize = 200;

#[tokio::test]
async fn idle_connections_of_envoy_cost_no_request() {
    let statuses = answers(Kind::Envoy, &[("idle_timeout: 60s", "idle_timeout: 1s")], IDLE).await;
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&400], "{statuses:?}");
}

#[tokio::test]
async fn idle_connections_of_traefik_cost_no_request() {
    let patient = ("interval: 1s, timeout: 1s", "interval: 10s, timeout: 9s");
    let changes = [("idleConnTimeout: 60s", "idleConnTimeout: 1s"), patient];
    let statuses = answers(Kind::Traefik, &changes, IDLE).await;
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&400], "{statuses:?}");
}

/// The answers to requests with gaps around this time, behind a proxy with changes to its configuration.
async fn answers(kind: Kind, changes: &[(&str, &str)], gap: Duration) -> BTreeMap<u16, usize> {
    let requests = inherited("RACE_REQUESTS").map_or(4_000, |number| number.parse().unwrap());
    let keep_alive = format!("{}s", KEEP_ALIVE.as_secs());
    let settings = [
        ("GATEWAY_TRUSTED_PROXIES", "127.0.0.1"),
        ("GATEWAY_RATE_LIMIT", "0"),
        ("GATEWAY_KEEP_ALIVE", &*keep_alive),
    ];
    let system = System::with(&settings).await;
    let proxy = Proxy::with(&system, kind, &[system.stack.layout().gateway], changes).await;
    let statuses = bursts(proxy.address, requests, gap).await;
    eprintln!("{kind:?}: {requests} requests with idle gaps: {statuses:?}");
    statuses
}

/// Sends requests in bursts, with gaps around a time between them, and counts the answers by status; 0 is none.
async fn bursts(proxy: SocketAddr, requests: usize, gap: Duration) -> BTreeMap<u16, usize> {
    // A busy machine may be slow; a request that fails is what counts.
    let client = Client::builder().no_proxy().timeout(MAX_ANSWER).build().unwrap();
    let mut statuses = BTreeMap::new();
    for _ in 0..requests / BURST {
        for status in join_all((0..BURST).map(|_| bad_order(&client, proxy))).await {
            *statuses.entry(status).or_default() += 1;
        }
        // The timers of both ends fire within these 40 ms; the client keeps its own connections for longer.
        tokio::time::sleep(gap - Duration::from_millis(20) + Duration::from_millis(fastrand::u64(..40)))
            .await;
    }
    statuses
}

/// An order that the gateway refuses: no proxy repeats a POST, and none is paid.
async fn bad_order(client: &Client, proxy: SocketAddr) -> u16 {
    let request = client.post(url(proxy) + "/create-order").header("content-type", "application/json");
    request.body("{").send().await.map_or(0, |answer| answer.status().as_u16())
}
