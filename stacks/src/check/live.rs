//! Starts the services with their own broker, places orders, and compares all that leaves the services with the registry.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use tokio::time::sleep;

use super::{findings::Findings, names::Known, receiver::Receiver};
use crate::{
    address::url,
    http,
    local::{LocalStack, layout::Component, rabbitmq},
    logs::{Line, SERVICES},
    orders::{Client, Sort},
    progress::Progress,
    registry::{Registry, Source, read::FOLDER},
    settings::{Options, bare},
    trace::ORDER,
};

/// The time in which the spans of an order and the metrics of all services must arrive.
const MAX_ARRIVAL: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

/// Compares the metrics of the services, and the log lines and spans of a good order, a declined one, an invalid one, and one
/// while payment is down. Adds the metrics of RabbitMQ to the known names.
pub(super) async fn witness(
    options: &Options,
    registry: Registry,
    known: &mut Known,
    findings: &mut Findings,
    progress: &mut Progress,
) -> Result<()> {
    let dir = tempfile::tempdir().context("cannot make a directory for the services")?;
    let receiver = Receiver::start(registry.clone()).await?;
    let mut env = bare(&options.env);
    let settings = [
        ("PAYMENT_LATENCY", "1ms"),
        ("MAIL_LATENCY", "1ms"),
        ("ALERTS", "off"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url.as_str()),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
    ];
    env.extend(settings.map(|(key, value)| (key.into(), value.into())));
    let options =
        Options { dir: dir.path().into(), env, free_ports: true, binaries: options.binaries.clone() };
    let mut stack = LocalStack::up(&options, progress).await?;
    progress.begin("compare signals");
    let client = http::client()?;
    let orders = Client::new(stack.gateway_url(), "check")?;
    orders.place_sample().await?;
    expect(&orders, Sort::Declined).await?;
    expect(&orders, Sort::Invalid).await?;
    arrive(&receiver).await?;
    let mut pages = BTreeMap::new();
    for (service, url) in
        SERVICES.into_iter().zip([stack.gateway_url(), stack.payment_url(), stack.mailer_url()])
    {
        pages.insert(service, page(&client, &(url + "/metrics")).await?);
    }
    let mut deviations: BTreeSet<String> = registry.missing(&pages).into_iter().collect();
    for (service, page) in &pages {
        deviations.extend(registry.page(service, page));
    }
    let broker = stack.layout().broker.context("the stack has no broker of its own")?;
    let broker = url(rabbitmq::local(broker.metrics));
    for path in ["/metrics", "/metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count"] {
        known.note_page(&page(&client, &(broker.clone() + path)).await?);
    }
    stack.kill(Component::Payment)?;
    let refused = orders.place(Sort::Good, Instant::now()).await.outcome;
    ensure!(refused.is_err(), "an order was accepted while payment was down");
    // The services flush their telemetry before they end.
    stack.down(&mut Progress::silent())?;
    for entry in fs::read_dir(stack.log_dir()).context("cannot list the log files")? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(service) = SERVICES.iter().find(|service| name == format!("{service}.log")) {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            for line in text.lines().map(|line| Line::parse(service, line)) {
                deviations.extend(registry.line(service, &line.message, &line.fields, Source::Exact));
            }
        }
    }
    let received = receiver.received();
    deviations.extend(received.deviations.iter().cloned());
    progress.done(&format!(
        "{} spans and {} messages by name, {} deviations",
        received.spans.len(),
        received.messages.len(),
        deviations.len()
    ));
    for deviation in deviations {
        findings.add(FOLDER, deviation);
    }
    Ok(())
}

/// Waits for all spans of an order, and the metrics of every service.
async fn arrive(receiver: &Receiver) -> Result<()> {
    let deadline = Instant::now() + MAX_ARRIVAL;
    loop {
        let missing: Vec<String> = {
            let received = receiver.received();
            let spans = ORDER.into_iter().map(|(service, kind, name)| {
                (
                    format!("{kind} `{name}`"),
                    received.spans.contains(&(service.into(), kind.into(), name.into())),
                )
            });
            let metrics = SERVICES
                .into_iter()
                .map(|service| (format!("metrics of {service}"), received.measured.contains(service)));
            spans.chain(metrics).filter(|(_, is_there)| !is_there).map(|(what, _)| what).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "did not arrive: {}", missing.join(", "));
        sleep(PAUSE).await;
    }
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
