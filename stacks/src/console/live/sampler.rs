//! Reads the metrics of the services every second while a page is open, and less often otherwise.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, ensure};
use reqwest::header::ACCEPT;
use serde::Serialize;
use tokio::time::sleep;

use super::{
    super::{ask::Answer, shared::Shared},
    metrics::{Gateway, Mailer, Payment, Values, queued, sample},
    state::Live,
};
use crate::{
    address::url,
    http,
    local::rabbitmq,
    stack::{Place, Places},
};

/// Time between two samples while a page is open, and while none is.
const PERIOD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));
/// States that durations are measured over.
const WINDOW: usize = 10;
/// RabbitMQ refuses a request for OpenMetrics alone.
const ACCEPTED: &str = "application/openmetrics-text; version=1.0.0,*/*;q=0.1";
/// RabbitMQ's metrics in the Docker stacks.
const RABBITMQ: Place = ("RABBITMQ_METRICS_LISTEN", 15692);
const QUEUES: &str = "/metrics/detailed?family=queue_coarse_metrics";

/// Samples until the process ends.
pub(super) async fn follow(shared: Arc<Shared>, live: Arc<Live>) {
    let mut window: VecDeque<Values> = VecDeque::new();
    loop {
        let now = read(&shared).await;
        if let (Some(earlier), Some(before)) = (window.front(), window.back()) {
            let sample = sample(earlier, before, &now);
            shared.hub.add("sample", &sample);
            live.keep(sample);
        }
        window.push_back(now);
        while window.len() > WINDOW {
            window.pop_front();
        }
        sleep(if shared.hub.is_watched() { PERIOD.0 } else { PERIOD.1 }).await;
    }
}

/// The state of each question, for the page.
#[derive(Serialize)]
struct Sources([Answer<()>; 4]);

async fn read(shared: &Shared) -> Values {
    let Ok(places) = shared.places() else { return Values::default() };
    let local = &places.local;
    let page = |part, url: Result<Option<String>>| ask(&places, part, url);
    let (gateway, payment, mailer, queue) = tokio::join!(
        page("gateway", Ok(Some(local.gateway_url() + "/metrics"))),
        page("payment", Ok(Some(local.payment_url() + "/metrics"))),
        page("mailer", Ok(Some(local.mailer_url() + "/metrics"))),
        page("rabbitmq", queues(&places)),
    );
    let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3;
    let values = Values {
        at,
        gateway: gateway.found.as_deref().map(Gateway::read),
        payment: payment.found.as_deref().map(Payment::read),
        mailer: mailer.found.as_deref().map(Mailer::read),
        queue: queue.found.as_deref().and_then(queued),
    };
    shared.hub.set("sources", &Sources([gateway, payment, mailer, queue].map(state_of)));
    values
}

/// The URL of RabbitMQ's metrics; none where `AMQP_URL` names a broker of which nothing more is known.
fn queues(places: &Places) -> Result<Option<String>> {
    let local = &places.local;
    let of_node =
        local.layout().broker.filter(|_| local.runs()).map(|ports| url(rabbitmq::local(ports.metrics)));
    let base = match of_node {
        Some(url) => url,
        None if local.runs() => return Ok(None),
        None => places.url(RABBITMQ)?,
    };
    Ok(Some(base + QUEUES))
}

async fn ask(places: &Places, part: &'static str, url: Result<Option<String>>) -> Answer<String> {
    let question = async {
        let Some(url) = url? else { return Ok(None) };
        let response = match places.client.get(&url).header(ACCEPT, ACCEPTED).send().await {
            Err(error) => anyhow::bail!("it {}", http::brief(&error)),
            Ok(response) => response,
        };
        ensure!(response.status().is_success(), "it answered {}", response.status());
        response.text().await.context("the answer broke off").map(Some)
    };
    Answer::to(part, None, question).await
}

/// The state without what was found, and without the time, which differs with each answer.
fn state_of(answer: Answer<String>) -> Answer<()> {
    let Answer { part, state, reason, query, .. } = answer;
    Answer { part, state, took: 0, reason, query, found: None }
}
