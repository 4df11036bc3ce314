//! Drills on a local stack with the real Prometheus and Alertmanager: the alert is delivered and resolved, and a drill
//! that is interrupted repairs its fault.

use std::time::Duration;

use serde_json::{Value, json};
use stacks::{local::layout::Component::Payment, process::Signal};
use testkit::wait::eventually;

use crate::harness::{Answer, Program, System};

/// The time limit of a drill: both of its waits, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

async fn watched() -> System {
    // The harness turns alerts off; an empty value is the default.
    System::with(&[("ALERTS", "")]).await
}

async fn simulation(system: &System) -> Value {
    let url = system.url(Payment) + "/simulation";
    let request = reqwest::Client::new().get(url).bearer_auth(system.payment_token());
    Answer::of(request.send().await.unwrap()).await.body
}

#[tokio::test]
async fn a_drill_sees_its_alert_delivered_and_resolved() {
    let system = watched().await;
    let arguments = ["drill", "--alert", "HighErrorRate"];
    let drill = Program::start("stacks", &arguments, system.dir(), &[]).ended_within(LIMIT).await;
    assert_eq!(drill.code, Some(0), "{}{}", drill.stdout, drill.stderr);
    for part in
        ["✓ break", "✓ wait for alert", "payment-service answers with errors", "✓ repair", "✓ wait for end"]
    {
        assert!(drill.stderr.contains(part), "`{part}` is not in {}", drill.stderr);
    }
    let row = drill
        .stdout
        .lines()
        .find(|line| line.starts_with("HighErrorRate "))
        .expect("a row with the times of the alert");
    assert_eq!(row.split_whitespace().filter(|word| *word == "s").count(), 2, "{row}");
    assert_eq!(simulation(&system).await["failureRate"], 0.0);
    let lines = system.log("order-gateway");
    for message in ["alert fires", "alert resolved"] {
        let is_logged =
            |line: &&String| line.contains(message) && line.contains("\"rule.name\":\"HighErrorRate\"");
        assert!(lines.iter().any(|line| is_logged(&line)), "the gateway did not log `{message}`");
    }
    let rules = std::fs::read_to_string(system.dir().join("var/prometheus/rules/services.yaml")).unwrap();
    assert!(rules.contains("for: 2m"), "the shipped rules are not restored");
}

#[tokio::test]
async fn an_interrupted_drill_repairs_its_fault() {
    let system = watched().await;
    let before = simulation(&system).await;
    let drill = Program::start("stacks", &["drill", "--alert", "HighLatency"], system.dir(), &[]);
    eventually("the fault", async || match simulation(&system).await["latency"].clone() {
        latency if latency == json!("3s") => Ok(()),
        latency => Err(format!("the latency is {latency}")),
    })
    .await;
    drill.signal(Signal::INT);
    let ended = drill.ended().await;
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert_eq!(simulation(&system).await, before);
}

#[tokio::test]
async fn a_drill_without_prometheus_names_what_to_install() {
    let system = System::start().await;
    let ended = Program::start("stacks", &["drill"], system.dir(), &[]).ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("stacks/local/install prometheus prometheus-alertmanager"), "{ended:?}");
}

#[tokio::test]
async fn an_incident_stays_hidden_until_the_answer_repairs_it() {
    let system = System::start().await;
    let before = simulation(&system).await;
    let run = async |arguments: &[&str]| Program::start("stacks", arguments, system.dir(), &[]).ended().await;
    // This seed selects a fault that payment simulates: the harness must keep every process.
    let begun = run(&["incident", "--seed", "3"]).await;
    assert_eq!(begun.code, Some(0), "{begun:?}");
    assert!(!(begun.stdout + &begun.stderr).contains("payment"), "the incident reveals its cause");
    assert_eq!(simulation(&system).await["latency"], "3s");
    for another in ["incident", "drill"] {
        let another = run(&[another]).await;
        assert_eq!(another.code, Some(1), "{another:?}");
        assert!(another.stderr.contains("make answer"), "{another:?}");
    }

    let answer = run(&["answer"]).await;
    assert_eq!(answer.code, Some(0), "{answer:?}");
    for part in ["settling a payment takes 3 s", "HighLatency", "PromQL"] {
        assert!(answer.stdout.contains(part), "`{part}` is not in {answer:?}");
    }
    assert_eq!(simulation(&system).await, before);
    assert_eq!(run(&["answer"]).await.code, Some(1), "a second answer succeeded");
}
