//! A `kill -9` in the middle of work: the next process delivers all that had ended 10 ms before.
//!
//! The process that dies and the one that comes after it are this program again, with `CRASH_DIRECTORY` in its environment.
//! The first one kills itself, and measures by a clock that stands still while the machine does not let it run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use rustix::process::{Signal, getpid, kill_process};
use support::{SERVICE, endpoint, lines, settings};
use telemetry::{Flush, Observability, slog};
use testkit::otlp::{OtlpSink, attribute};
use testkit::wait::within;

const KILLS: usize = 5;
/// Between two steps: a load, and no test of what the machine can bear.
const PACE: Duration = Duration::from_micros(300);
/// Threads of telemetry: for spans, records and lines, and for what is due at a certain time.
const WRITERS: usize = 4;
/// What a kill may take.
const WINDOW: Duration = Duration::from_millis(10);

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

/// The numbers of the steps that were reported, and the time from their end to the kill.
fn work_until_killed(directory: &Path, steps: usize) -> HashMap<u64, Duration> {
    let nowhere = "--otel-exporter-otlp-endpoint=http://127.0.0.1:9";
    let mut worker = program("the_process_that_is_killed", directory, nowhere);
    let mut worker = worker.env("CRASH_STEPS", steps.to_string()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut ended, mut killed) = (HashMap::new(), None);
    for line in BufReader::new(worker.stdout.take().unwrap()).lines().map(Result::unwrap) {
        let at = |text: &str| Duration::from_micros(text.parse().unwrap());
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["step", number, time] => drop(ended.insert(number.parse().unwrap(), at(time))),
            ["kill", time] => killed = Some(at(time)),
            _ => {}
        }
    }
    assert_eq!((worker.wait().unwrap().code(), ended.len()), (None, steps), "it was not killed");
    let killed = killed.unwrap();
    ended.into_iter().map(|(number, at)| (number, killed - at)).collect()
}

/// The time in microseconds in which this process could run: a thread advances it each millisecond, by two at most, unless
/// a thread of the telemetry is ready and gets no processor.
fn running_time() -> Arc<AtomicU64> {
    let (micros, tick) = (Arc::new(AtomicU64::new(0)), Duration::from_millis(1));
    let clock = micros.clone();
    let is_writer = |task: &PathBuf| {
        let name = fs::read_to_string(task.join("comm")).unwrap();
        name.starts_with("telemetry-") || name.starts_with("log-")
    };
    let mut threads = Vec::new();
    // A thread that has just started has not named itself.
    while threads.len() < WRITERS {
        let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        threads = tasks.filter(is_writer).collect();
    }
    thread::spawn(move || {
        let (mut last, mut used) =
            (Instant::now(), threads.iter().map(|_| String::new()).collect::<Vec<_>>());
        loop {
            thread::park_timeout(tick);
            let passed = last.elapsed();
            last += passed;
            let waiting: Vec<_> =
                threads.iter().zip(&mut used).map(|(task, used)| is_waiting(task, used)).collect();
            if !waiting.contains(&true) {
                clock.fetch_add(passed.min(2 * tick).as_micros() as u64, Ordering::Relaxed);
            }
        }
    });
    micros
}

/// True if a thread is ready and has not run since the last call; `used` is its time on a processor then.
fn is_waiting(task: &Path, used: &mut String) -> bool {
    let [state, times] = ["stat", "schedstat"].map(|name| fs::read_to_string(task.join(name)).unwrap());
    let before = mem::replace(used, times.split(' ').next().unwrap().to_owned());
    state.rsplit(") ").next().unwrap().starts_with('R') && before == *used
}

fn program(test: &str, directory: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--ignored", "--nocapture"]);
    command.env("CRASH_DIRECTORY", directory).env("CRASH_ENDPOINT", endpoint);
    command
}

fn variable(name: &str) -> String {
    std::env::var_os(name).expect("started by the other test").into_string().unwrap()
}

fn observability() -> Observability {
    let (directory, endpoint) = (variable("CRASH_DIRECTORY"), variable("CRASH_ENDPOINT"));
    let [spool, logs] = [("telemetry-spool-dir", "spool"), ("log-dir", "logs")]
        .map(|(name, place)| format!("--{name}={directory}/{place}"));
    Observability::new(SERVICE, &settings(&[&endpoint, &spool, &logs, "--otel-logs-exporter=otlp"])).unwrap()
}

#[test]
#[ignore = "the other test starts and kills it"]
fn the_process_that_is_killed() {
    let observability = observability();
    let (log, clock) = (observability.log(), running_time());
    let steps: u64 = variable("CRASH_STEPS").parse().unwrap();
    let mut output = std::io::stdout();
    for number in 0..steps {
        tracing::info_span!("step", number).in_scope(|| slog::info!(log, "step"; "number" => number));
        writeln!(output, "step {number} {}", clock.load(Ordering::Relaxed)).unwrap();
        thread::park_timeout(PACE);
    }
    writeln!(output, "kill {}", clock.load(Ordering::Relaxed)).unwrap();
    kill_process(getpid(), Signal::KILL).unwrap();
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
    let text = fs::read_to_string(directory.join("logs/test-service.log")).unwrap();
    // The last one may have been torn by the kill.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    lines::parse(whole).iter().filter_map(|line| line.get("number").as_u64()).collect()
}
