//! The stop of one of two gateways behind a proxy, under load.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use stacks::{address::url, http, process::Signal};

use super::{
    gateways::gateway,
    proxy::{Kind, Proxy},
};
use crate::harness::System;

/// The clients that place one order after the other.
const CLIENTS: usize = 8;

#[tokio::test]
async fn a_gateway_that_stops_behind_envoy_costs_no_request() {
    stop_under_load(Kind::Envoy).await;
}

#[tokio::test]
async fn a_gateway_that_stops_behind_traefik_costs_no_request() {
    stop_under_load(Kind::Traefik).await;
}

async fn stop_under_load(kind: Kind) {
    let settings = [
        ("GATEWAY_TRUSTED_PROXIES", "127.0.0.1"),
        ("GATEWAY_RATE_LIMIT", "0"),
        ("GATEWAY_KEEP_ALIVE", "75s"),
        ("SHUTDOWN_DRAIN_DELAY", "5s"),
    ];
    let system = System::with(&settings).await;
    let (second, stopping) = gateway(&system, &settings).await;
    let proxy = Proxy::before(&system, kind, &[system.stack.layout().gateway, second]).await;

    let end = Instant::now() + Duration::from_secs(9);
    let stop = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        stopping.signal(Signal::TERM);
        stopping.ended().await
    };
    let load = futures_util::future::join_all((0..CLIENTS).map(|_| orders(proxy.address, end)));
    let (ended, answers) = tokio::join!(stop, load);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for status in answers.into_iter().flatten() {
        *statuses.entry(status).or_default() += 1;
    }
    eprintln!("{kind:?}, one of two gateways stopped: {statuses:?}");
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&201], "{statuses:?}");
    assert!(statuses[&201] > 20, "{statuses:?}");
}

/// The statuses of orders, one after the other, until `end`; 0 without an answer.
async fn orders(proxy: SocketAddr, end: Instant) -> Vec<u16> {
    let client = http::client().unwrap();
    let mut statuses = Vec::new();
    while Instant::now() < end {
        let answer = client.post(url(proxy) + "/create-order").send().await;
        statuses.push(answer.map_or(0, |answer| answer.status().as_u16()));
    }
    statuses
}
