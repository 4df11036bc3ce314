//! Starts the services with a broker of their own, lets something happen to them, and listens.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::names::Evidence;
use crate::{
    backends::{Traces as _, jaeger::Jaeger},
    http,
    local::{
        Options, Stack, bare,
        layout::{Component, url},
        rabbitmq,
    },
    order,
    progress::Progress,
    trace::Trace,
};

const ARRIVAL: Duration = Duration::from_secs(30);

/// What the running system says: metrics of all three services and of RabbitMQ, log lines and spans of an order that
/// succeeds, of one that is declined, of one that is wrong, and of one while payment is away.
pub(super) async fn witness(options: &Options, progress: &mut Progress) -> Result<Evidence> {
    let dir = tempfile::tempdir().context("cannot make a directory for the services")?;
    let mut env = bare(&options.env);
    let settings = [("PAYMENT_LATENCY", "1ms"), ("MAIL_LATENCY", "1ms"), ("ALERTS", "off")];
    env.extend(settings.map(|(key, value)| (key.into(), value.into())));
    let options =
        Options { dir: dir.path().into(), env, free_ports: true, binaries: options.binaries.clone() };
    let mut stack = Stack::up(&options, progress).await?;
    progress.begin("names");
    let client = http::client()?;
    let gateway = stack.gateway_url();
    let mut evidence = Evidence::default();

    let order = order::place(&client, &gateway).await?;
    let jaeger = stack.jaeger_url().context("the stack has no trace backend")?;
    evidence.note_trace(&whole(&Jaeger::new(client.clone(), jaeger), &order.trace_id).await?);
    let item = |price: &str| json!([{"sku": "BOOK-1", "quantity": 1, "unitPrice": price}]);
    let customer = json!({"email": "ada@example.com"});
    let dear = json!({"customer": customer, "items": item("99999.00"), "currency": "USD"});
    expect(&client, &gateway, &dear, StatusCode::PAYMENT_REQUIRED).await?;
    let wrong = json!({"customer": customer, "items": item("a lot"), "currency": "USD"});
    expect(&client, &gateway, &wrong, StatusCode::UNPROCESSABLE_ENTITY).await?;
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
    let good = json!({"customer": customer, "items": item("1.00"), "currency": "USD"});
    expect(&client, &gateway, &good, StatusCode::SERVICE_UNAVAILABLE).await?;
    // They write what they have to say before they end.
    stack.down(&mut Progress::silent())?;
    for entry in fs::read_dir(stack.log_dir()).context("there are no log files")? {
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

async fn whole(jaeger: &Jaeger, id: &str) -> Result<Trace> {
    let deadline = Instant::now() + ARRIVAL;
    loop {
        let trace = jaeger.trace(id).await?.unwrap_or_default();
        match trace.missing() {
            missing if missing.is_empty() => return Ok(trace),
            missing if Instant::now() > deadline => {
                bail!("the trace of an order lacks {missing:?} after {} s", ARRIVAL.as_secs())
            }
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn expect(client: &Client, gateway: &str, order: &Value, status: StatusCode) -> Result<()> {
    let answer = client.post(format!("{gateway}/create-order")).json(order).send().await?;
    let (answered, body) = (answer.status(), answer.text().await.unwrap_or_default());
    if answered != status {
        bail!("the gateway answered {answered} where {status} was due: {body}");
    }
    Ok(())
}

async fn page(client: &Client, url: &str) -> Result<String> {
    let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    let answer = answer.with_context(|| format!("{url} shows no metrics"))?;
    answer.text().await.with_context(|| format!("{url} shows no metrics"))
}
