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
use testkit::{
    otlp::{self, OtlpSink},
    wait::eventually,
};
use tokio::{task::JoinSet, time::sleep};

use crate::harness::{Answer, Placed, SETTLE, System};

const CLIENTS: usize = 4;
/// Between two orders of a client: a load, and no test of what the machine can bear.
const PACE: Duration = Duration::from_millis(25);
/// A `kill -9` can take what had ended a moment ago, and breaks what had not; orders that were about are told apart.
const AROUND: Duration = Duration::from_secs(1);
/// How many orders a window has at least.
const ORDERS: usize = 50;
/// What waits in one service while its receiver is well, under this load.
const BACKLOG: f64 = 256.0;
/// How often the receiver goes away, and whether it is dead then or silent.
const ABSENCES: [bool; 3] = [true, false, true];
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

/// Orders that were asked for and answered within some windows of time.
struct Answers(Vec<Duration>);

impl Answers {
    fn within(orders: &[Accepted], windows: &[(Instant, Instant)]) -> Self {
        let is_within = |order: &&Accepted| {
            windows.iter().any(|(from, to)| *from <= order.asked && order.answered <= *to)
        };
        let mut took: Vec<_> =
            orders.iter().filter(is_within).map(|order| order.answered - order.asked).collect();
        assert!(took.len() >= ORDERS, "{} orders are too few to tell", took.len());
        took.sort();
        Self(took)
    }

    /// How long all but this share of them took at most.
    fn all_but(&self, share: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * (1.0 - share)) as usize]
    }
}

/// A time of this length, or longer where that is too short for a percentile.
async fn window(load: &Load, length: Duration) -> (Instant, Instant) {
    let begun = Instant::now();
    sleep(length).await;
    eventually("enough orders", async || {
        let number = load.accepted.lock().unwrap().iter().filter(|order| order.asked >= begun).count();
        if number >= ORDERS { Ok(()) } else { Err(format!("{number} were accepted")) }
    })
    .await;
    (begun, Instant::now())
}

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

/// Waits until each pipeline of each service has found its receiver again, and has little left to catch up on.
async fn until_all_have_caught_up(system: &System) {
    for (service, name) in SERVICES {
        for signal in ["traces", "logs"] {
            let exported =
                async || system.metrics(service).await.sum("telemetry_exported_total", &[("signal", signal)]);
            let before = exported().await;
            eventually(&format!("{name} to send {signal}"), async || {
                if exported().await > before { Ok(()) } else { Err("none came".to_owned()) }
            })
            .await;
        }
        eventually(&format!("{name} to catch up"), async || {
            let queued = system.metrics(service).await.sum("telemetry_queued", &[]);
            if queued < BACKLOG { Ok(()) } else { Err(format!("{queued} wait")) }
        })
        .await;
    }
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
    // The first answers are those of caches and connections that are made for them.
    sleep(phase / 2).await;
    let before = memory(&system).await;
    // In turn, so that whatever else this machine does meets both.
    let (mut well, mut away) = (Vec::new(), Vec::new());
    for is_dead in ABSENCES {
        receiver.always(otlp::Answer::Accept);
        receiver.open();
        until_all_have_caught_up(&system).await;
        well.push(window(&load, phase).await);
        if is_dead {
            receiver.close()
        } else {
            receiver.always(otlp::Answer::Hang)
        }
        away.push(window(&load, phase).await);
    }
    let during = memory(&system).await;

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
    until_all_has_left(&system).await;

    let written = files(&system);
    let received = Received::by(&receiver);
    let was_about =
        |order: &Accepted| kills.iter().any(|(from, to)| order.answered >= *from && order.asked <= *to);
    let (about, settled): (Vec<_>, Vec<_>) = orders.iter().partition(|order| was_about(order));
    let incomplete = |orders: &[&Accepted]| -> Vec<_> {
        let all =
            orders.iter().map(|order| (order.order.trace.clone(), received.missing(&written, &order.order)));
        all.filter(|(_, missing)| !missing.is_empty()).collect()
    };
    let (lost, broken) = (incomplete(&settled), incomplete(&about));
    let [well, away] = [well, away].map(|windows| Answers::within(&orders, &windows));
    eprintln!(
        "{} orders, {} of them about a kill, {} of those incomplete; memory went from {before:?} to {during:?}",
        orders.len(),
        about.len(),
        broken.len()
    );
    for (name, share) in [("median", 0.5), ("p99", 0.01), ("p99.9", 0.001)] {
        let [well, away] = [&well, &away].map(|answers| answers.all_but(share).as_secs_f64() * 1e3);
        eprintln!("{name}: {well:.1} ms while it is well, {away:.1} ms while it is away: {:.2}", away / well);
    }
    eprintln!("from {} and {} orders", well.0.len(), away.0.len());
    assert_eq!(lost, [], "an order has lost what belongs to it");
    // Who waits for a receiver waits for its time-out, of a second; a busy machine is not that slow.
    for (share, slack) in [(0.5, 50), (0.01, 300)] {
        let (well, away) = (well.all_but(share), away.all_but(share));
        assert!(
            away < well * 3 + Duration::from_millis(slack),
            "orders wait for a receiver: {away:?}, else {well:?}"
        );
    }
    for (before, during) in before.into_iter().zip(during) {
        assert!(
            during - before < 32.0 * 1024.0 * 1024.0,
            "an outage costs memory: {during} B, it was {before} B"
        );
    }
}

#[tokio::test]
async fn what_a_receiver_refuses_for_good_is_counted_and_what_comes_after_it_arrives() {
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
            if number > 0.0 { Ok(()) } else { Err("none is".to_owned()) }
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
