//! Several gateways with one rate limit in a real Redis.

use std::time::{Duration, Instant};

use stacks::{address::url, http};
use testkit::{exposition::Samples, wait::eventually};

use super::{clients::ask, gateways::gateway, redis::Redis};
use crate::harness::{Answer, Authority, System, inherited};

/// Requests a second of one client.
const LIMIT: f64 = 100.0;

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

async fn metrics(gateway: &str) -> Samples {
    let page = reqwest::get(format!("{gateway}/metrics")).await.unwrap().text().await.unwrap();
    Samples::parse(&page).unwrap()
}

async fn fallback(gateway: &str) -> f64 {
    metrics(gateway).await.get("rate_limit_fallback")
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

#[tokio::test]
async fn a_store_over_tls_keeps_the_limit_if_its_certificate_is_trusted() {
    let (authority, unknown) = (Authority::new(), Authority::new());
    let redis = Redis::over_tls(&authority).await;
    let (store, system) = (redis.url(), System::start().await);
    for (authority, keeper) in [(&authority, "store"), (&unknown, "fallback")] {
        let certificates = authority.file();
        let settings = [
            ("GATEWAY_RATE_LIMIT_URL", &*store),
            ("GATEWAY_RATE_LIMIT_DEADLINE", "2s"),
            ("SSL_CERT_FILE", &*certificates),
        ];
        let (address, _program) = gateway(&system, &settings).await;
        let client = http::client().unwrap();
        assert_eq!(ask(&client, &url(address), "198.51.100.1").await, 404);
        let admitted = format!("rate_limit_admitted_total{{by=\"{keeper}\"}}");
        assert_eq!(metrics(&url(address)).await.get(&admitted), 1.0, "{keeper}");
    }
}
