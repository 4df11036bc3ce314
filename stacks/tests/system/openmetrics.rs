//! The OpenMetrics pages against the parser of prometheus_client and a real Prometheus.

use std::{path::Path, process::Stdio};

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Map, Value, json};
use stacks::{
    address, http,
    local::layout::Component::{self, Gateway, Mailer, Payment},
};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::harness::{Placed, Prometheus, System};

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The histograms that an order fills, and their services.
const HISTOGRAMS: [(Component, &str); 6] = [
    (Gateway, "http_request_duration_seconds"),
    (Gateway, "http_client_request_duration_seconds"),
    (Payment, "http_request_duration_seconds"),
    (Payment, "messaging_publish_duration_seconds"),
    (Mailer, "messaging_queue_wait_seconds"),
    (Mailer, "messaging_process_duration_seconds"),
];

/// Reads a page from stdin and prints type, unit and exemplars of each family.
const PARSER: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
def exemplars(family):
    return [sample.exemplar.labels['trace_id'] for sample in family.samples if sample.exemplar]
page = sys.stdin.read()
print(json.dumps({f.name: {'type': f.type, 'unit': f.unit, 'traces': exemplars(f)} for f in families(page)}))
";

async fn openmetrics(system: &System, service: Component) -> String {
    let request = http::client().unwrap().get(system.url(service) + "/metrics").header(ACCEPT, OPENMETRICS);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()[CONTENT_TYPE], OPENMETRICS);
    answer.text().await.unwrap()
}

/// The families of a page, parsed by prometheus_client.
async fn parsed(page: &str) -> Map<String, Value> {
    let hint = "needs the parser of python3-prometheus-client: run `make test`";
    let debian = "/usr/bin/python3";
    let python = if Path::new(debian).exists() { debian } else { "python3" };
    let mut command = Command::new(python);
    command.args(["-c", PARSER]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut parser = command.kill_on_drop(true).spawn().expect(hint);
    parser.stdin.take().unwrap().write_all(page.as_bytes()).await.expect(hint);
    let output = parser.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{hint}: {}\n{page}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Places an order and waits until every histogram contains it.
async fn measured(system: &System) -> Placed {
    let order = system.place().await;
    for outcome in [
        "messaging_process_duration_seconds_count{outcome=\"accepted\"}",
        "emails_sent_total{outcome=\"sent\"}",
    ] {
        system.reaches(Mailer, outcome, 1.0).await;
    }
    let confirmed = "messaging_publish_duration_seconds_count{outcome=\"confirmed\"}";
    system.reaches(Payment, confirmed, 1.0).await;
    order
}

#[tokio::test]
async fn prometheus_client_finds_the_trace_of_an_order_on_every_page() {
    let system = System::start().await;
    let order = measured(&system).await;
    for (service, name) in HISTOGRAMS {
        let families = parsed(&openmetrics(&system, service).await).await;
        assert_eq!(
            (&families[name]["type"], &families[name]["unit"]),
            (&json!("histogram"), &json!("seconds"))
        );
        let traces = families[name]["traces"].as_array().unwrap();
        assert!(
            traces.contains(&json!(order.trace)),
            "{name} leads to {traces:?} and not to {}",
            order.trace
        );
        assert_eq!(families["process_cpu_seconds"]["type"], "counter");
        assert_eq!(families["telemetry_exported"]["type"], "counter");
    }
}

/// A Prometheus that scrapes the three services each second.
fn prometheus(system: &System) -> Prometheus {
    let targets: Vec<String> = Component::SERVICES.iter().map(|service| system.address(*service)).collect();
    let config = json!({
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [{"job_name": "checkout", "static_configs": [{"targets": targets}]}],
    });
    Prometheus::start(system.dir(), address::free().unwrap(), &config)
}

#[tokio::test]
async fn prometheus_leads_from_every_histogram_to_a_span() {
    let system = System::start().await;
    let order = measured(&system).await;
    let trace = system.trace(&order.trace).await;
    let prometheus = prometheus(&system);
    for (_, family) in HISTOGRAMS {
        for (id, span) in prometheus.exemplars_of(family, &order.trace).await {
            assert_eq!(id, order.trace, "{family}: there is only one order");
            assert!(
                trace.spans.iter().any(|known| known.id == span),
                "{family}: no span {span} in {trace:?}"
            );
        }
    }
}
