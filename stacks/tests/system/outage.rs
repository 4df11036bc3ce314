//! The receiver of spans and log lines is dead, silent or busy, and services are killed meanwhile: every span and
//! every line of every accepted order arrives, and no order waits for them.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use stacks::{
    local::layout::Component::{self, Gateway, Mailer, Payment},
    trace::ORDER,
};
use tokio::{task::JoinSet, time::sleep};

use crate::harness::{Answer, Mood, Placed, Receiver, SETTLE, System, eventually};

const CLIENTS: usize = 4;
/// Between two orders of a client: a load, and no test of what the machine can bear.
const PACE: Duration = Duration::from_millis(25);
/// A `kill -9` can take what had ended a moment ago, and breaks what had not; orders that were about are told apart.
const AROUND: Duration = Duration::from_secs(1);
/// How long each phase of the outage lasts; `OUTAGE_SECONDS` makes it as long as one likes.
const PHASE: Duration = Duration::from_secs(2);
const SERVICES: [(Component, &str); 3] =
    [(Gateway, "order-gateway"), (Payment, "payment-service"), (Mailer, "email-service")];

/// An order that was accepted, and when it was asked for and answered.
struct Accepted {
    order: Placed,
    asked: Instant,
    answered: Instant,
}

/// Clients who place orders until they are stopped.
struct Load {
    accepted: Arc<Mutex<Vec<Accepted>>>,
    is_over: Arc<AtomicBool>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(system: &System) -> Self {
        let accepted: Arc<Mutex<Vec<Accepted>>> = Arc::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (accepted, is_over) = (accepted.clone(), is_over.clone());
            let url = system.url(Gateway) + "/create-order";
            let client = reqwest::Client::new();
            clients.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    // A gateway that is dead at the moment accepts nothing.
                    if let Ok(answer) = client.post(&url).send().await
                        && answer.status() == 201
                    {
                        let order = Placed::from(&Answer::of(answer).await);
                        accepted.lock().unwrap().push(Accepted { order, asked, answered: Instant::now() });
                    }
                    sleep(PACE).await;
                }
            });
        }
        Self { accepted, is_over, clients }
    }

    /// The order that was accepted last.
    fn newest(&self) -> String {
        self.accepted.lock().unwrap().last().expect("no order was accepted").order.id.clone()
    }

    async fn stop(self) -> Vec<Accepted> {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        std::mem::take(&mut *self.accepted.lock().unwrap())
    }
}

/// The median and the 99th percentile of the answers between two moments.
fn latency(orders: &[Accepted], from: Instant, to: Instant) -> (Duration, Duration) {
    let between = orders.iter().filter(|order| from <= order.asked && order.answered <= to);
    let mut took: Vec<_> = between.map(|order| order.answered - order.asked).collect();
    took.sort();
    assert!(took.len() >= 20, "{} orders are too few to tell", took.len());
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// What is missing of an order: spans that every order has, and lines that the log files have.
fn missing(receiver: &Receiver, files: &[(String, String, String)], order: &Placed) -> Vec<String> {
    let spans: HashSet<_> = receiver.spans(&order.trace).into_iter().collect();
    let lines: HashSet<_> = receiver.lines(&order.trace).into_iter().collect();
    let expected =
        ORDER.into_iter().chain([SETTLE]).map(|(service, _, name)| (service.to_owned(), name.to_owned()));
    let spans = expected.filter(|span| !spans.contains(span)).map(|span| format!("span {span:?}"));
    let written = files.iter().filter(|(trace, ..)| *trace == order.trace);
    let written = written.map(|(_, service, message)| (service.clone(), message.clone()));
    spans.chain(written.filter(|line| !lines.contains(line)).map(|line| format!("line {line:?}"))).collect()
}

/// Trace, service and message of every line in the log files that belongs to a trace.
fn files(system: &System) -> Vec<(String, String, String)> {
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

async fn until_all_has_left(system: &System) {
    for (service, name) in SERVICES {
        eventually(&format!("{name} to have sent everything"), async || {
            let queued = system.metrics(service).await.sum("telemetry_queued", &[]);
            if queued == 0.0 { Ok(()) } else { Err(format!("{queued} wait")) }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_receiver_loses_nothing_of_an_accepted_order_also_when_services_are_killed() {
    let seconds = std::env::var_os("OUTAGE_SECONDS").map(|value| value.into_string().unwrap());
    let phase = seconds.map_or(PHASE, |seconds| Duration::from_secs(seconds.parse().unwrap()) / 5);
    let mut receiver = Receiver::start();
    let endpoint = format!("http://{}", receiver.address);
    let mut system = System::with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ("GATEWAY_RATE_LIMIT", "0"),
    ])
    .await;
    let load = Load::start(&system);
    // The first answers are those of caches and connections that are made for them.
    sleep(phase / 2).await;
    let (well, before) = (Instant::now(), memory(&system).await);
    sleep(phase).await;
    let outage = Instant::now();
    receiver.die();
    sleep(phase).await;
    let (quiet, during) = (Instant::now(), memory(&system).await);

    let mut kills = Vec::new();
    for (service, _) in SERVICES {
        // What belongs to an order ends soon after its answer, unless the mailer has fallen behind.
        system.email(&load.newest()).await;
        let killed = Instant::now();
        system.kill(service);
        system.restart(service).await;
        kills.push((killed - AROUND, Instant::now()));
        sleep(AROUND + PACE).await;
    }
    receiver.revive();
    for mood in [Mood::Silent, Mood::Refusing(429), Mood::Refusing(503)] {
        receiver.feels(mood);
        let asked = receiver.requests();
        eventually(&format!("requests while it is {mood:?}"), async || {
            let more = receiver.requests() - asked;
            if more >= 3 { Ok(()) } else { Err(format!("{more} came")) }
        })
        .await;
        sleep(phase / 4).await;
    }
    let orders = load.stop().await;
    receiver.feels(Mood::Well);
    for order in &orders {
        system.email(&order.order.id).await;
    }
    until_all_has_left(&system).await;

    let written = files(&system);
    let was_about =
        |order: &Accepted| kills.iter().any(|(from, to)| order.answered >= *from && order.asked <= *to);
    let (about, settled): (Vec<_>, Vec<_>) = orders.iter().partition(|order| was_about(order));
    let incomplete = |orders: &[&Accepted]| -> Vec<_> {
        let all = orders
            .iter()
            .map(|order| (order.order.trace.clone(), missing(&receiver, &written, &order.order)));
        all.filter(|(_, missing)| !missing.is_empty()).collect()
    };
    let (lost, broken) = (incomplete(&settled), incomplete(&about));
    let (median, slow) = latency(&orders, well, outage);
    let (median_during, slow_during) = latency(&orders, outage, quiet);
    eprintln!(
        "{} orders, {} of them about a kill, {} of those incomplete; answers took {median:?} and {slow:?} (p99) before the \
         outage, {median_during:?} and {slow_during:?} in it; memory went from {before:?} to {during:?}",
        orders.len(),
        about.len(),
        broken.len()
    );
    assert_eq!(lost, [], "an order has lost what belongs to it");
    // Who waits for a receiver waits for its time-out, of a second; a busy machine is not that slow.
    assert!(median_during < median * 3 + Duration::from_millis(50), "orders wait for a dead receiver");
    for (before, during) in before.into_iter().zip(during) {
        assert!(
            during - before < 32.0 * 1024.0 * 1024.0,
            "an outage costs memory: {during} B, it was {before} B"
        );
    }
}

#[tokio::test]
async fn what_a_receiver_refuses_for_good_is_counted_and_what_comes_after_it_arrives() {
    let receiver = Receiver::start();
    let endpoint = format!("http://{}", receiver.address);
    let system = System::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    for (mood, reason) in [(Mood::Refusing(400), "bad_request"), (Mood::Partial, "partial")] {
        receiver.feels(mood);
        system.place().await;
        let rejected =
            format!(r#"telemetry_rejected_total{{destination="1",reason="{reason}",signal="traces"}}"#);
        eventually(&format!("{reason} to be counted"), async || {
            let number = system.metrics(Gateway).await.get(&rejected);
            if number > 0.0 { Ok(()) } else { Err("none is".to_owned()) }
        })
        .await;
    }
    receiver.feels(Mood::Well);
    let order = system.place().await;
    system.email(&order.id).await;
    eventually("a whole trace", async || {
        let missing = missing(&receiver, &[], &order);
        if missing.is_empty() { Ok(()) } else { Err(missing.join(", ")) }
    })
    .await;
}
