//! Limits of the clients behind a real proxy.

use std::time::Duration;

use reqwest::Client;
use stacks::address::url;

use super::{
    clients::{client_at, refused_of},
    proxy::{Kind, Proxy},
};
use crate::harness::{Answer, System, books};

const LIMIT: (&str, &str) = ("GATEWAY_RATE_LIMIT", "5");
/// The proxy itself; the clients have other addresses of this machine.
const TRUSTED: (&str, &str) = ("GATEWAY_TRUSTED_PROXIES", "127.0.0.1");

#[tokio::test]
async fn a_client_over_its_limit_leaves_another_behind_envoy_alone() {
    one_client_over_its_limit(Kind::Envoy).await;
}

#[tokio::test]
async fn a_client_over_its_limit_leaves_another_behind_traefik_alone() {
    one_client_over_its_limit(Kind::Traefik).await;
}

async fn one_client_over_its_limit(kind: Kind) {
    let system = System::with(&[TRUSTED, LIMIT]).await;
    let gateway = system.stack.layout().gateway;
    let proxy = Proxy::before(&system, kind, &[gateway]).await;
    let [greedy, modest, direct] = [2, 3, 4].map(|last| client_at([127, 0, 0, last].into()));

    // Each request of the greedy client claims to come from elsewhere.
    let spoofed = |number: usize| format!("203.0.113.{number}");
    let front = url(proxy.address);
    let (refused, orders) = tokio::join!(refused_of(&greedy, &front, spoofed), orders(&modest, &front));
    assert!(refused >= 5, "{refused} of 20 refused");
    for answer in &orders {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    let trace = system.trace(orders[0].text("traceId")).await;
    let server = trace.spans.iter().find(|span| span.service == "order-gateway" && span.kind == "server");
    assert_eq!(server.unwrap().attributes["client.address"], "127.0.0.3");

    let refused = refused_of(&direct, &url(gateway), spoofed).await;
    assert!(refused >= 5, "a peer that is no proxy names its client: {refused} of 20 refused");
}

/// Orders below the limit.
async fn orders(client: &Client, proxy: &str) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..8 {
        let request = client.post(format!("{proxy}/create-order")).json(&books("ada@example.org"));
        answers.push(Answer::of(request.send().await.unwrap()).await);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    answers
}
