//! Starts the services with their own broker, places orders, and collects the names in their telemetry.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::names::Evidence;
use crate::{
    address::url,
    backends::{embedded::EmbeddedJaeger, whole_trace},
    http,
    local::{LocalStack, layout::Component, rabbitmq},
    orders::{Client, Sort},
    progress::Progress,
    settings::{Options, bare},
};

/// The time in which the trace of an order must become whole.
const MAX_ARRIVAL: Duration = Duration::from_secs(30);

/// The names in the metrics of the services and RabbitMQ, and in the log lines and spans of a good order, a declined one, an
/// invalid one, and one while payment is down.
pub(super) async fn witness(options: &Options, progress: &mut Progress) -> Result<Evidence> {
    let dir = tempfile::tempdir().context("cannot make a directory for the services")?;
    let mut env = bare(&options.env);
    let settings = [("PAYMENT_LATENCY", "1ms"), ("MAIL_LATENCY", "1ms"), ("ALERTS", "off")];
    env.extend(settings.map(|(key, value)| (key.into(), value.into())));
    let options =
        Options { dir: dir.path().into(), env, free_ports: true, binaries: options.binaries.clone() };
    let mut stack = LocalStack::up(&options, progress).await?;
    progress.begin("collect names");
    let client = http::client()?;
    let orders = Client::new(stack.gateway_url(), "check")?;
    let mut evidence = Evidence::default();

    let order = orders.place_sample().await?;
    let jaeger = stack.jaeger_url().context("the stack has no trace backend")?;
    let jaeger = EmbeddedJaeger::new(client.clone(), jaeger);
    let trace = whole_trace(&jaeger, &order.trace_id, MAX_ARRIVAL, |_| {}).await?;
    ensure!(trace.missing().is_empty(), "the trace of an order lacks {:?}", trace.missing());
    evidence.note_trace(&trace);
    expect(&orders, Sort::Declined).await?;
    expect(&orders, Sort::Invalid).await?;
    for service in Component::SERVICES {
        let (address, ..) = stack.layout().listens(service)[0];
        evidence.note_page(&page(&client, &(url(address) + "/metrics")).await?);
    }
    let broker = stack.layout().broker.context("the stack has no broker of its own")?;
    let broker = url(rabbitmq::local(broker.metrics));
    for path in ["/metrics", "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count"] {
        evidence.note_page(&page(&client, &(broker.clone() + path)).await?);
    }
    stack.kill(Component::Payment)?;
    let refused = orders.place(Sort::Good, Instant::now()).await.outcome;
    ensure!(refused.is_err(), "an order was accepted while payment was down");
    // The services flush their telemetry before they end.
    stack.down(&mut Progress::silent())?;
    for entry in fs::read_dir(stack.log_dir()).context("cannot list the log files")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            text.lines().for_each(|line| evidence.note_line(line));
        }
    }
    let Evidence { metrics, fields, attributes } = &evidence;
    progress.done(&format!(
        "{} metrics, {} fields of log lines, {} attributes of spans",
        metrics.len(),
        fields.len(),
        attributes.len()
    ));
    Ok(evidence)
}

async fn expect(orders: &Client, sort: Sort) -> Result<()> {
    let outcome = orders.place(sort, Instant::now()).await.outcome;
    outcome
        .map(drop)
        .map_err(|reason| anyhow!("the {} order got an unexpected answer: {reason}", sort.name()))
}

async fn page(client: &reqwest::Client, url: &str) -> Result<String> {
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let answer = answer.with_context(|| format!("cannot read the metrics of {url}"))?;
    answer.text().await.with_context(|| format!("cannot read the metrics of {url}"))
}
