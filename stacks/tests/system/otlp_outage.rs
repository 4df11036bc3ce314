//! An outage of the OTLP receiver, while services are killed: every span and log line of every accepted order arrives
//! afterwards, and no order waits for the receiver.

mod hanging_disk;
mod load;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use stacks::{
    local::layout::Component::{self, Gateway, Mailer, Payment},
    trace::ORDER,
};
use testkit::{
    otlp::{self, OtlpSink},
    wait::eventually,
};
use tokio::time::sleep;

use self::load::{Accepted, Latencies, Load, PAUSE, window};
use crate::harness::{Placed, SETTLE, System};

/// A `kill -9` may take spans that have just ended. Orders within this time of a kill may be incomplete.
const MARGIN: Duration = Duration::from_secs(1);
/// The queue of one service under this load, with a working receiver.
const BACKLOG: f64 = 256.0;
/// The outages of the receiver: true if it is closed, false if it never answers.
const OUTAGES: [bool; 3] = [true, false, true];
/// The length of each phase; `OUTAGE_SECONDS` sets another total.
const PHASE: Duration = Duration::from_secs(2);
const SERVICES: [(Component, &str); 3] =
    [(Gateway, "order-gateway"), (Payment, "payment-service"), (Mailer, "email-service")];

/// Trace, service, and name or message.
type Item = (String, String, String);

/// The spans and log lines that a receiver has accepted.
struct Received {
    spans: HashSet<Item>,
    lines: HashSet<Item>,
}

impl Received {
    fn by(receiver: &OtlpSink) -> Self {
        Self {
            spans: receiver.span_names().into_iter().collect(),
            lines: receiver.messages().into_iter().collect(),
        }
    }

    /// The spans that every order has and this one lacks, and its lines in the log files that did not arrive.
    fn missing(&self, files: &[Item], order: &Placed) -> Vec<String> {
        let span = |(service, _, name): (&str, &str, &str)| {
            (order.trace.clone(), service.to_owned(), name.to_owned())
        };
        let expected = ORDER.into_iter().chain([SETTLE]).map(span);
        let spans = expected.filter(|span| !self.spans.contains(span)).map(|span| format!("span {span:?}"));
        let written = files.iter().filter(|(trace, ..)| *trace == order.trace);
        let lines = written.filter(|line| !self.lines.contains(line)).map(|line| format!("line {line:?}"));
        spans.chain(lines).collect()
    }
}

/// Trace, service and message of every line in the log files that belongs to a trace.
fn files(system: &System) -> Vec<Item> {
    let mut found = Vec::new();
    for (_, name) in SERVICES {
        for line in system.log(name) {
            let line: serde_json::Value = serde_json::from_str(&line).expect("a torn line");
            if let (Some(trace), Some(message)) = (line["trace.id"].as_str(), line["message"].as_str()) {
                found.push((trace.to_owned(), name.to_owned(), message.to_owned()));
            }
        }
    }
    found
}

async fn memory(system: &System) -> Vec<f64> {
    let mut bytes = Vec::new();
    for (service, _) in SERVICES {
        bytes.push(system.metrics(service).await.get("process_resident_memory_bytes"));
    }
    bytes
}

/// Waits until each pipeline of each service delivers again and its queue is short.
async fn caught_up(system: &System) {
    for (service, name) in SERVICES {
        for signal in ["traces", "logs"] {
            let exported =
                async || system.metrics(service).await.sum("telemetry_exported_total", &[("signal", signal)]);
            let before = exported().await;
            eventually(&format!("{name} to send {signal}"), async || {
                if exported().await > before { Ok(()) } else { Err("none are sent".to_owned()) }
            })
            .await;
        }
        eventually(&format!("{name} to catch up"), async || {
            let queued = system.metrics(service).await.sum("telemetry_queued", &[]);
            if queued < BACKLOG { Ok(()) } else { Err(format!("{queued} are queued")) }
        })
        .await;
    }
}

async fn drained(system: &System) {
    for (service, name) in SERVICES {
        eventually(&format!("an empty queue in {name}"), async || {
            let queued = system.metrics(service).await.sum("telemetry_queued", &[]);
            if queued == 0.0 { Ok(()) } else { Err(format!("{queued} are queued")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_receiver_loses_nothing_of_an_order() {
    let seconds = std::env::var_os("OUTAGE_SECONDS").map(|value| value.into_string().unwrap());
    let phase = seconds.map_or(PHASE, |seconds| Duration::from_secs(seconds.parse().unwrap()) / 5);
    let receiver = OtlpSink::start();
    let endpoint = receiver.url();
    let mut system = System::with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ("GATEWAY_RATE_LIMIT", "0"),
    ])
    .await;
    let load = Load::start(&system);
    // The first answers include the warm-up of caches and connections.
    sleep(phase / 2).await;
    let before = memory(&system).await;
    // In turn, so that other work on this machine affects both alike.
    let (mut working, mut failing) = (Vec::new(), Vec::new());
    for is_closed in OUTAGES {
        receiver.always(otlp::Answer::Accept);
        receiver.open();
        caught_up(&system).await;
        working.push(window(&load, phase).await);
        if is_closed {
            receiver.close()
        } else {
            receiver.always(otlp::Answer::Hang)
        }
        failing.push(window(&load, phase).await);
    }
    let during = memory(&system).await;

    let mut kills = Vec::new();
    for (service, _) in SERVICES {
        // Unless the mailer is behind, the spans of an order end soon after its answer.
        system.email(&load.newest()).await;
        let killed = Instant::now();
        system.kill(service);
        system.restart(service).await;
        kills.push((killed - MARGIN, Instant::now()));
        sleep(MARGIN + PAUSE).await;
    }
    receiver.open();
    for answer in [otlp::Answer::Hang, otlp::Answer::Later(429, 1), otlp::Answer::Later(503, 1)] {
        receiver.always(answer);
        let before = receiver.attempts().len();
        eventually(&format!("requests that are answered with {answer:?}"), async || {
            let more = receiver.attempts().len() - before;
            if more >= 3 { Ok(()) } else { Err(format!("{more} came")) }
        })
        .await;
        sleep(phase / 4).await;
    }
    let orders = load.stop().await;
    receiver.always(otlp::Answer::Accept);
    for order in &orders {
        system.email(&order.order.id).await;
    }
    drained(&system).await;

    let written = files(&system);
    let received = Received::by(&receiver);
    let near_a_kill =
        |order: &Accepted| kills.iter().any(|(from, to)| order.answered >= *from && order.requested <= *to);
    let (near, far): (Vec<_>, Vec<_>) = orders.iter().partition(|order| near_a_kill(order));
    let incomplete = |orders: &[&Accepted]| -> Vec<_> {
        let all =
            orders.iter().map(|order| (order.order.trace.clone(), received.missing(&written, &order.order)));
        all.filter(|(_, missing)| !missing.is_empty()).collect()
    };
    let (lost, broken) = (incomplete(&far), incomplete(&near));
    let [working, failing] = [working, failing].map(|windows| Latencies::within(&orders, &windows));
    eprintln!(
        "{} orders, {} of them near a kill, {} of those incomplete; memory grew from {before:?} to {during:?} B",
        orders.len(),
        near.len(),
        broken.len()
    );
    for (name, share) in [("median", 0.5), ("p99", 0.01), ("p99.9", 0.001)] {
        let [working, failing] =
            [&working, &failing].map(|answers| answers.all_but(share).as_secs_f64() * 1e3);
        eprintln!(
            "{name}: {working:.1} ms with a receiver, {failing:.1} ms without: {:.2}",
            failing / working
        );
    }
    eprintln!("from {} and {} orders", working.len(), failing.len());
    assert_eq!(lost, [], "an order lacks spans or lines");
    // An order that waits for the receiver waits for its timeout of 1 s; a busy machine is faster.
    for (share, slack) in [(0.5, 50), (0.01, 300)] {
        let (working, failing) = (working.all_but(share), failing.all_but(share));
        assert!(
            failing < working * 3 + Duration::from_millis(slack),
            "orders wait for the receiver: {failing:?} without one, {working:?} with one"
        );
    }
    for (before, during) in before.into_iter().zip(during) {
        assert!(
            during - before < 32.0 * 1024.0 * 1024.0,
            "the outage costs memory: {during} B after {before} B"
        );
    }
}

#[tokio::test]
async fn a_permanent_refusal_is_counted_and_what_follows_arrives() {
    let receiver = OtlpSink::start();
    let endpoint = receiver.url();
    let system = System::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    for (answer, reason) in
        [(otlp::Answer::Later(400, 1), "bad_request"), (otlp::Answer::Partial(1), "partial")]
    {
        receiver.always(answer);
        system.place().await;
        let rejected =
            format!(r#"telemetry_rejected_total{{destination="1",reason="{reason}",signal="traces"}}"#);
        eventually(&format!("{reason} to be counted"), async || {
            let number = system.metrics(Gateway).await.get(&rejected);
            number > 0.0
        })
        .await;
    }
    receiver.always(otlp::Answer::Accept);
    let order = system.place().await;
    system.email(&order.id).await;
    eventually("a whole trace", async || {
        let missing = Received::by(&receiver).missing(&[], &order);
        if missing.is_empty() { Ok(()) } else { Err(missing.join(", ")) }
    })
    .await;
}
