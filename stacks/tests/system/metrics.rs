//! Metrics: counters grow by the orders of the test and by nothing else, and promtool accepts the pages.

use std::process::Stdio;

use serde_json::json;
use stacks::local::layout::Component::{self, Gateway, Mailer, Payment};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::harness::{System, books};

const NAMES: [(Component, &str); 3] =
    [(Gateway, "order-gateway"), (Payment, "payment-service"), (Mailer, "email-service")];

#[tokio::test]
async fn counters_grow_by_what_happened() {
    let system = System::start().await;
    // One order of each outcome first, so that every series exists.
    let mut expensive = books("ada@example.org");
    expensive["items"][0]["unitPrice"] = json!("6000.00");
    system.place().await;
    assert_eq!(system.place_with(&expensive, &[]).await.status, 402);
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 2.0).await;
    let before = [system.metrics(Gateway).await, system.metrics(Payment).await, system.metrics(Mailer).await];

    for _ in 0..3 {
        system.place().await;
    }
    assert_eq!(system.place_with(&expensive, &[]).await.status, 402);
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 6.0).await;

    let gateway = system.metrics(Gateway).await.growth(&before[0],
        &[
            "http_request_duration_seconds_count{method=\"POST\",route=\"/create-order\",status=\"201\"}",
            "http_request_duration_seconds_count{method=\"POST\",route=\"/create-order\",status=\"402\"}",
            "http_request_duration_seconds_count{method=\"POST\",route=\"/create-order\",status=\"503\"}",
            "http_client_request_duration_seconds_count{method=\"POST\",outcome=\"answered\",route=\"/process-payment\"}",
            "orders_created_total",
        ],
    );
    assert_eq!(gateway.values().collect::<Vec<_>>(), [&4.0, &3.0, &1.0, &0.0, &3.0], "{gateway:?}");
    let payment = system.metrics(Payment).await.growth(
        &before[1],
        &[
            "http_request_duration_seconds_count{method=\"POST\",route=\"/process-payment\",status=\"200\"}",
            "messaging_publish_duration_seconds_count{outcome=\"confirmed\"}",
            "messaging_published_total{outcome=\"confirmed\"}",
            "messaging_published_total{outcome=\"failed\"}",
            "payment_processed_total{outcome=\"declined\"}",
            "payment_processed_total{outcome=\"failed\"}",
            "payment_processed_total{outcome=\"succeeded\"}",
        ],
    );
    assert_eq!(
        payment.values().collect::<Vec<_>>(),
        [&4.0, &4.0, &4.0, &0.0, &1.0, &0.0, &3.0],
        "{payment:?}"
    );
    let mailer = system.metrics(Mailer).await.growth(
        &before[2],
        &[
            "emails_sent_total{outcome=\"dead\"}",
            "emails_sent_total{outcome=\"retried\"}",
            "emails_sent_total{outcome=\"sent\"}",
            "messaging_process_duration_seconds_count{outcome=\"accepted\"}",
            "messaging_queue_wait_seconds_count",
            "messaging_received_total{outcome=\"accepted\"}",
            "messaging_received_total{outcome=\"duplicate\"}",
        ],
    );
    assert_eq!(mailer.values().collect::<Vec<_>>(), [&0.0, &0.0, &4.0, &4.0, &4.0, &4.0, &0.0], "{mailer:?}");
}

#[tokio::test]
async fn every_service_has_build_and_process_metrics() {
    let system = System::start().await;
    system.place().await;
    for (service, name) in NAMES {
        let samples = system.metrics(service).await;
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(samples.get(&format!("build_info{{service=\"{name}\",version=\"{version}\"}}")), 1.0);
        for series in ["process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"] {
            assert!(samples.get(series) > 0.0, "{series} of {name}");
        }
        assert!(samples.get("process_cpu_seconds_total") >= 0.0);
        assert_eq!(samples.sum("telemetry_dropped_total", &[]), 0.0, "{name}");
        assert_eq!(samples.sum("telemetry_log_lines_dropped_total", &[]), 0.0, "{name}");
    }
}

#[tokio::test]
async fn durations_are_measured_by_route_and_never_by_raw_path() {
    let system = System::with(&[("PAYMENT_LATENCY", "120ms")]).await;
    system.place().await;
    for path in ["/orders/secret-1", "/orders/secret-2", "/secret-3"] {
        assert_eq!(system.get(Gateway, path).await.status, 404);
    }
    let text = system.metrics_text(Gateway).await;
    assert!(!text.contains("secret"), "{text}");
    let samples = system.metrics(Gateway).await;
    let placed = [("route", "/create-order"), ("status", "201")];
    let name = "http_request_duration_seconds";
    assert_eq!(samples.sum(&format!("{name}_count"), &placed), 1.0);
    let seconds = samples.sum(&format!("{name}_sum"), &placed);
    assert!((0.12..30.0).contains(&seconds), "an order that waits 120 ms took {seconds} s");
    let fast = samples.sum(&format!("{name}_bucket"), &[placed[0], placed[1], ("le", "0.1")]);
    assert_eq!(fast, 0.0, "the buckets disagree with the sum");
    assert_eq!(
        samples.sum(&format!("{name}_count"), &[("route", "/orders/{order_id}"), ("status", "404")]),
        2.0
    );
    assert_eq!(samples.sum(&format!("{name}_count"), &[("route", "unmatched"), ("status", "404")]), 1.0);
}

#[tokio::test]
async fn promtool_has_no_objection_to_the_metrics() {
    let system = System::start().await;
    let order = system.place().await;
    system.email(&order.id).await;
    for (service, name) in NAMES {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("promtool is missing, it comes with the package prometheus: run `make test`");
        let mut stdin = promtool.stdin.take().unwrap();
        stdin.write_all(system.metrics_text(service).await.as_bytes()).await.unwrap();
        drop(stdin);
        let output = promtool.wait_with_output().await.unwrap();
        let objections =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(output.status.success() && objections.is_empty(), "{name}: {objections}");
    }
}
