//! A `kill -9` in the middle of work: the next process delivers all that had ended some 10 ms before.
//!
//! The process that dies and the one that comes after it are this program again, with `CRASH_DIRECTORY` in its environment.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use support::{SERVICE, endpoint, lines, settings};
use telemetry::{Flush, Observability, slog};
use testkit::otlp::{OtlpSink, attribute};
use testkit::wait::within;

const KILLS: usize = 5;
/// Between two steps: a load, and no test of what the machine can bear.
const PACE: Duration = Duration::from_micros(300);
/// Items that come within 10 ms are written together; the rest is for a machine that is busy.
const WINDOW: Duration = Duration::from_millis(10 + 40);

#[test]
fn a_kill_takes_what_ended_in_the_last_milliseconds() {
    for kill in 0..KILLS {
        let (directory, sink) = (tempfile::tempdir().unwrap(), OtlpSink::start());
        let told = work_until_killed(directory.path(), 400 + 100 * kill);
        let mut next = program("the_process_that_comes_after", directory.path(), &endpoint(&sink));
        assert!(next.stdout(Stdio::null()).status().unwrap().success());

        let spans = sink
            .named("step")
            .iter()
            .filter_map(|span| attribute(&span.attributes, "number")?.parse().ok())
            .collect();
        for (what, found) in
            [("spans", spans), ("records", records(&sink)), ("lines", lines_of_file(directory.path()))]
        {
            let found: HashSet<u64> = found;
            let lost = told.iter().filter(|(number, _)| !found.contains(number));
            let window = lost.map(|(_, before_kill)| *before_kill).max().unwrap_or_default();
            eprintln!("{what}: {} of {} arrived, window {window:?}", found.len(), told.len());
            assert!(window <= WINDOW, "{what} that ended {window:?} before the kill are lost");
        }
    }
}

/// The numbers of the steps that were reported, and the time from the report to the kill.
fn work_until_killed(directory: &Path, steps: usize) -> HashMap<u64, Duration> {
    let nowhere = "--otel-exporter-otlp-endpoint=http://127.0.0.1:9";
    let mut worker =
        program("the_process_that_is_killed", directory, nowhere).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(worker.stdout.take().unwrap()).lines().map(Result::unwrap);
    let step = |line: String| Some((line.strip_prefix("step ")?.parse().ok()?, Instant::now()));
    let mut told: HashMap<_, _> = output.by_ref().filter_map(step).take(steps).collect();
    let killed = Instant::now();
    worker.kill().unwrap();
    worker.wait().unwrap();
    told.extend(output.filter_map(step));
    assert!(told.len() >= steps, "it ended by itself");
    told.into_iter().map(|(number, at)| (number, killed.saturating_duration_since(at))).collect()
}

fn program(test: &str, directory: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    command.env("CRASH_DIRECTORY", directory).env("CRASH_ENDPOINT", endpoint);
    command
}

fn observability() -> Observability {
    let variable = |name| std::env::var_os(name).expect("started by the other test").into_string().unwrap();
    let (directory, endpoint) = (variable("CRASH_DIRECTORY"), variable("CRASH_ENDPOINT"));
    let [spool, logs] = [("telemetry-spool-dir", "spool"), ("log-dir", "logs")]
        .map(|(name, place)| format!("--{name}={directory}/{place}"));
    Observability::new(SERVICE, &settings(&[&endpoint, &spool, &logs, "--otel-logs-exporter=otlp"])).unwrap()
}

#[test]
#[ignore = "the other test starts and kills it"]
fn the_process_that_is_killed() {
    let observability = observability();
    let log = observability.log();
    let mut output = std::io::stdout();
    for number in 0_u64.. {
        tracing::info_span!("step", number).in_scope(|| slog::info!(log, "step"; "number" => number));
        writeln!(output, "step {number}").unwrap();
        thread::park_timeout(PACE);
    }
}

#[actix_rt::test]
#[ignore = "the other test starts it"]
async fn the_process_that_comes_after() {
    let observability = observability().launch();
    within("a flush", observability.send(Flush)).await.unwrap();
}

fn records(sink: &OtlpSink) -> HashSet<u64> {
    let scopes = sink.logs().into_iter().flat_map(|group| group.scope_logs);
    let fields = scopes.flat_map(|scope| scope.log_records).flat_map(|record| record.attributes);
    let number = fields.filter(|field| field.key == "number").filter_map(|field| field.value?.value);
    number
        .filter_map(
            |value| if let Value::IntValue(number) = value { u64::try_from(number).ok() } else { None },
        )
        .collect()
}

fn lines_of_file(directory: &Path) -> HashSet<u64> {
    let text = std::fs::read_to_string(directory.join("logs/test-service.log")).unwrap();
    // The last one may have been torn by the kill.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    lines::parse(whole).iter().filter_map(|line| line.get("number").as_u64()).collect()
}
