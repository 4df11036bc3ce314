//! Connections between proxies and gateways: kept for long enough, and not held by slow clients.

use std::time::{Duration, Instant};

use stacks::address::url;
use testkit::wait::eventually;
use tokio::process::Command;

use super::{
    gateways::gateway,
    proxy::{Kind, Proxy},
};
use crate::harness::{Connection, System, request};

const TRUSTED: (&str, &str) = ("GATEWAY_TRUSTED_PROXIES", "127.0.0.1");
/// A request whose body does not come.
const SLOW: &[u8] = b"POST /create-order HTTP/1.1\r\nhost: localhost\r\n\
    content-type: application/json\r\ncontent-length: 100\r\n\r\n";

#[tokio::test]
async fn an_idle_connection_is_kept_for_the_keep_alive() {
    let system = System::start().await;
    let (default, _first) = gateway(&system, &[]).await;
    let (patient, _second) = gateway(&system, &[("GATEWAY_KEEP_ALIVE", "9s")]).await;
    let ask = request("GET /orders/none", "", b"");
    let (mut closed, mut kept) = (Connection::to(default).await, Connection::to(patient).await);
    for connection in [&mut closed, &mut kept] {
        connection.send(&ask).await;
        assert_eq!(connection.answer().await.status, 404);
    }
    let begun = Instant::now();
    closed.closed().await;
    assert!(begun.elapsed() > Duration::from_secs(3), "closed after {:?}", begun.elapsed());
    kept.send(&ask).await;
    assert_eq!(kept.answer().await.status, 404);
}

#[tokio::test]
async fn a_slow_client_holds_its_share_no_longer_behind_a_proxy() {
    let system = System::with(&[
        TRUSTED,
        ("GATEWAY_MAX_IN_FLIGHT", "4"),
        ("GATEWAY_CLIENT_SHARE", "50"),
        ("GATEWAY_BODY_DEADLINE", "3s"),
    ])
    .await;
    let gateway = system.stack.layout().gateway;
    let envoy = Proxy::before(&system, Kind::Envoy, &[gateway]).await;
    let traefik = Proxy::before(&system, Kind::Traefik, &[gateway]).await;
    for (name, front) in [("direct", gateway), ("Envoy", envoy.address), ("Traefik", traefik.address)] {
        let [slow, other] = [2, 3].map(|last| [127, 0, 0, last].into());
        let begun = Instant::now();
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut connection = Connection::from(slow, front).await;
            connection.send(SLOW).await;
            held.push(connection);
        }
        let place = async |client| {
            let mut connection = Connection::from(client, front).await;
            connection.send(&request("POST /create-order", "", b"")).await;
            connection.answer().await.status
        };
        eventually("the share of the slow client to be taken", async || place(slow).await == 429).await;
        assert_eq!(place(other).await, 201, "{name}");
        eventually("the share of the slow client to be free", async || place(slow).await == 201).await;
        let time = begun.elapsed().as_secs_f64();
        eprintln!("{name}: a slow client held its share for {time:.1} s");
        assert!((2.9..5.0).contains(&time), "{name}: {time} s");
    }
}

#[tokio::test]
async fn an_order_over_http_2_reaches_a_gateway_behind_a_proxy() {
    let system = System::with(&[TRUSTED]).await;
    for kind in [Kind::Envoy, Kind::Traefik] {
        let proxy = Proxy::before(&system, kind, &[system.stack.layout().gateway]).await;
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--http2-prior-knowledge", "--request", "POST"]);
        curl.args(["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"]);
        let output = curl.arg(url(proxy.address) + "/create-order").output().await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "2 201", "{kind:?}");
    }
}
