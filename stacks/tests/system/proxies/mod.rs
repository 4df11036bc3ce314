//! Gateways behind proxies: the client that a proxy names owns its limit, its trace attribute and its keys, connections
//! are kept for long enough, and several gateways keep one limit in a real Redis.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode};
use serde_json::json;
use stacks::{
    address::{self, url},
    http,
    local::layout::Component,
    secrets,
};
use testkit::{exposition::Samples, wait::eventually};

use crate::harness::{Answer, Connection, Program, System, inherited, request, serving};

/// Requests a second of one client.
const LIMIT: f64 = 100.0;

/// A redis-server without data on disk; it ends with its test.
struct Redis {
    port: u16,
    server: Option<Child>,
}

impl Redis {
    async fn start() -> Self {
        let mut redis = Self { port: address::free().unwrap().port(), server: None };
        redis.restart().await;
        redis
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    async fn restart(&mut self) {
        let port = self.port.to_string();
        let settings = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
        let server = Command::new("redis-server").args(settings).stdout(Stdio::null()).spawn();
        self.server = Some(server.expect("redis-server does not start; run `make test`, which installs it"));
        eventually("an answer of redis-server", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.map(drop)
        })
        .await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Another gateway for the payment of a system.
async fn gateway(system: &System, settings: &[(&str, &str)]) -> (SocketAddr, Program) {
    let listen = address::free().unwrap();
    let mut all = secrets::read(&system.dir().join(".env")).unwrap();
    for (key, value) in [
        ("GATEWAY_LISTEN", &*listen.to_string()),
        ("PAYMENT_URL", &*system.url(Component::Payment)),
        ("LOG_DIR", ""),
        ("OTEL_TRACES_EXPORTER", "none"),
    ]
    .into_iter()
    .chain(settings.iter().copied())
    {
        all.insert(key.to_owned(), value.to_owned());
    }
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (&**key, &**value)).collect();
    let program = Program::start("gateway", &[], Path::new(system.dir()), &all);
    serving(listen).await;
    (listen, program)
}

/// Asks for an order that does not exist, as a client that a proxy names.
async fn ask(client: &Client, gateway: &str, forwarded_for: &str) -> StatusCode {
    let asked = client.get(format!("{gateway}/orders/none")).header("x-forwarded-for", forwarded_for);
    asked.send().await.unwrap().status()
}

/// Of twenty requests, those above the limit.
async fn refused(gateway: &str, forwarded_for: impl Fn(usize) -> String) -> usize {
    let client = http::client().unwrap();
    let mut refused = 0;
    for number in 0..20 {
        refused += usize::from(ask(&client, gateway, &forwarded_for(number)).await == 429);
    }
    refused
}

#[tokio::test]
async fn a_client_behind_a_proxy_owns_its_limit_and_its_keys() {
    let limit = ("GATEWAY_RATE_LIMIT", "5");
    let system = System::with(&[("GATEWAY_TRUSTED_PROXIES", "127.0.0.0/8"), limit]).await;
    let behind = system.url(Component::Gateway);
    assert!(refused(&behind, |_| "198.51.100.1".to_owned()).await > 10);
    assert!(refused(&behind, |number| format!("6.6.6.{number}, 198.51.100.1")).await > 10, "spoofed");
    assert_eq!(refused(&behind, |number| format!("203.0.113.{number}")).await, 0);

    let order = json!({
        "customer": {"email": "ada@example.com"},
        "items": [{"sku": "A", "quantity": 1, "unitPrice": "1.00"}],
        "currency": "USD",
    });
    let place = async |client: &str| {
        let headers = [("x-forwarded-for", client), ("idempotency-key", "one")];
        let answer = system.place_with(&order, &headers).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer
    };
    let [first, again, other] =
        [place("192.0.2.1").await, place("192.0.2.1").await, place("192.0.2.2").await];
    assert_eq!(first.text("orderId"), again.text("orderId"));
    assert_ne!(first.text("orderId"), other.text("orderId"));
    let trace = system.trace(other.text("traceId")).await;
    let server = trace.spans.iter().find(|span| span.name == "POST /create-order").unwrap();
    assert_eq!(server.attributes["client.address"], "192.0.2.2");

    let (open, _gateway) = gateway(&system, &[limit]).await;
    let spoofed = refused(&url(open), |number| format!("203.0.113.{number}")).await;
    assert!(spoofed > 10, "a peer that is no proxy names its client: {spoofed} of 20 refused");
}

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

/// How many requests all gateways admit in this time, asked as fast as they answer.
async fn admitted(gateways: &[String], time: Duration) -> f64 {
    let end = Instant::now() + time;
    let hammer = async |gateway: &String| {
        let client = http::client().unwrap();
        let mut admitted = 0_u32;
        while Instant::now() < end {
            admitted += u32::from(ask(&client, gateway, "198.51.100.1").await != 429);
            // Each gateway is asked for more than the whole limit.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        admitted
    };
    futures_util::future::join_all(gateways.iter().map(hammer)).await.into_iter().map(f64::from).sum()
}

async fn fallback(gateway: &str) -> f64 {
    let page = reqwest::get(format!("{gateway}/metrics")).await.unwrap().text().await.unwrap();
    Samples::parse(&page).unwrap().get("rate_limit_fallback")
}

#[tokio::test]
async fn three_gateways_keep_one_limit_and_open_without_their_store() {
    let time = inherited("RATE_SECONDS").map_or(3.0, |seconds| seconds.parse().unwrap());
    let for_time = Duration::from_secs_f64(time);
    let (mut redis, system) = (Redis::start().await, System::start().await);
    let store = redis.url();
    let settings = [
        ("GATEWAY_TRUSTED_PROXIES", "127.0.0.1"),
        ("GATEWAY_RATE_LIMIT", "100"),
        ("GATEWAY_RATE_LIMIT_URL", &*store),
        ("GATEWAY_RATE_LIMIT_DEADLINE", "200ms"),
    ];
    let (mut gateways, mut programs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (address, program) = gateway(&system, &settings).await;
        gateways.push(url(address));
        programs.push(program);
    }

    let shared = admitted(&gateways, for_time).await;
    let right = LIMIT * time + LIMIT;
    eprintln!(
        "{shared} admitted in {time} s by three gateways with one limit of {LIMIT}/s and as many at once"
    );
    assert!((right * 0.9..=right * 1.03).contains(&shared), "{shared} admitted, not {right}");

    redis.kill();
    let alone = admitted(&gateways, for_time).await;
    // Each one has half of the limit, and half of it at once.
    let right = 3.0 * (LIMIT / 2.0 * time + LIMIT / 2.0);
    eprintln!("{alone} admitted in {time} s without the store");
    assert!((right * 0.8..=right * 1.03 + 15.0).contains(&alone), "{alone} admitted, not {right}");
    for gateway in &gateways {
        assert_eq!(fallback(gateway).await, 1.0);
    }
    let ready = Answer::of(reqwest::get(format!("{}/readyz", gateways[0])).await.unwrap()).await;
    assert_eq!(ready.status, 200, "{ready:?}");
    assert!(ready.body.to_string().contains("this gateway limits by itself"), "{ready:?}");

    redis.restart().await;
    let client = http::client().unwrap();
    for gateway in &gateways {
        eventually("the store is used again", async || {
            ask(&client, gateway, "198.51.100.2").await;
            fallback(gateway).await == 0.0
        })
        .await;
    }
}
