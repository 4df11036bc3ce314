//! A pipeline with real sockets and a real directory. What an earlier process has left is what an earlier pipeline
//! has left: it lets go of its spool when nobody can push any more.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use clap::Parser;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus::Registry;
use prost::Message;

use self::sink::{Answer, Sink};
use super::*;
use crate::Settings;

mod refusals;

#[allow(dead_code, reason = "the tests of this file use a part of it")]
#[path = "../../tests/support/sink.rs"]
mod sink;

const QUEUE: usize = 1000;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    telemetry: Settings,
}

/// A pipeline of numbers; each becomes a span with its name.
struct Bench {
    intake: Option<Intake<u64>>,
    registry: Registry,
}

impl Bench {
    fn start(directory: &Path, sinks: &[&Sink], arguments: &[&str]) -> Self {
        let (bench, pipeline) = Self::build(directory, sinks, arguments);
        pipeline.start("test-pipeline", encode).unwrap();
        bench
    }

    fn build(directory: &Path, sinks: &[&Sink], arguments: &[&str]) -> (Self, Pipeline<u64>) {
        let urls: Vec<_> = sinks.iter().map(|sink| sink.url() + "/v1/traces").collect();
        let urls = format!("--otel-exporter-otlp-traces-endpoint={}", urls.join(","));
        let spool = format!("--telemetry-spool-dir={}", directory.display());
        let timeout = "--otel-exporter-otlp-timeout=300";
        let arguments = [&["test", &urls, &spool, timeout], arguments].concat();
        let settings = Command::parse_from(arguments).telemetry.export;
        let registry = Registry::new();
        let options = Options {
            signal: Signal::Traces,
            uris: settings.traces_destinations(),
            queue: QUEUE,
            batch: 10,
            // What leaves is a full batch, or was flushed.
            schedule_delay: Duration::from_secs(600),
        };
        let metrics = PipelineMetrics::register(&registry).unwrap();
        let service = Service { name: "s", version: "1" };
        let pipeline = Pipeline::build(service, options, &settings, &metrics).unwrap();
        (Self { intake: Some(pipeline.intake()), registry }, pipeline)
    }

    fn push(&self, numbers: impl IntoIterator<Item = u64>) {
        numbers.into_iter().for_each(|number| self.intake.as_ref().unwrap().push(number));
    }

    fn flush(&self) {
        let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let flush = self.intake.as_ref().unwrap().flush();
        let flush = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), flush).await });
        flush.expect("a flush that does not end");
    }

    /// The sum of a family over all reasons, for one destination.
    fn sum(&self, name: &str, destination: usize) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name).unwrap();
        let place = destination.to_string();
        let is_of = |metric: &&prometheus::proto::Metric| {
            metric.get_label().iter().all(|label| label.name() != "destination" || label.value() == place)
        };
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        family.get_metric().iter().filter(is_of).map(value).sum()
    }

    fn assert_all_is_accounted_for(&self, destination: usize) {
        let sum = |name| self.sum(name, destination);
        let came = sum("telemetry_recorded_total") + sum("telemetry_recovered_total");
        let went = sum("telemetry_exported_total")
            + sum("telemetry_rejected_total")
            + sum("telemetry_dropped_total")
            + sum("telemetry_queued");
        assert_eq!(came, went, "destination {destination}");
    }

    /// Waits until so many are in the spool of the first destination and nothing is on its way there.
    fn until_written(&self, directory: &Path, items: u64) {
        eventually("all to be in the spool", || written(directory) == items);
    }

    fn stop(mut self, directory: &Path) {
        self.intake = None;
        let lock = fs::File::open(directory.join("s/traces-1/lock")).unwrap();
        eventually("the pipeline to end", || lock.try_lock().is_ok());
    }
}

fn encode(numbers: Vec<u64>) -> Vec<u8> {
    let span = |number: u64| Span { name: number.to_string(), ..Span::default() };
    let spans = numbers.into_iter().map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn segments(directory: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(directory.join("s/traces-1")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| !path.ends_with("lock")).collect();
    files.sort();
    files
}

fn written(directory: &Path) -> u64 {
    let items = |path| spool::items(&fs::read(path).unwrap_or_default());
    segments(directory).iter().map(items).sum()
}

fn arrived(sink: &Sink) -> Vec<u64> {
    sink.spans().iter().map(|span| span.name.parse().unwrap()).collect()
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::yield_now();
    }
}

#[test]
fn what_a_dead_receiver_has_not_taken_leaves_in_order_after_a_restart_and_once() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let first = Bench::start(directory.path(), &[&sink], &[]);
    first.push(0..95);
    first.until_written(directory.path(), 95);
    first.assert_all_is_accounted_for(1);
    first.stop(directory.path());

    sink.open();
    let second = Bench::start(directory.path(), &[&sink], &[]);
    second.push(95..100);
    second.flush();
    assert_eq!(arrived(&sink), (0..100).collect::<Vec<_>>());
    assert_eq!(second.sum("telemetry_recovered_total", 1), 95.0);
    assert_eq!(second.sum("telemetry_exported_total", 1), 100.0);
    assert_eq!(second.sum("telemetry_spool_bytes", 1), 0.0);
    assert_eq!(segments(directory.path()), [] as [&Path; 0], "what was taken is still there");
    second.assert_all_is_accounted_for(1);
}

#[test]
fn a_backlog_is_sent_with_pauses() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start(directory.path(), &[&sink], &[]);
    bench.push(0..200);
    bench.until_written(directory.path(), 200);
    sink.open();
    bench.flush();
    let attempts = sink.attempts();
    assert!(attempts.len() >= 20, "batches of ten");
    let hurried = attempts.windows(2).filter(|pair| pair[1].at - pair[0].at < Duration::from_millis(9));
    // The first of them was waiting for its turn already.
    assert!(hurried.count() <= 1, "a receiver that has just come back was run over");
}

#[test]
fn a_destination_that_is_dead_and_one_that_never_answers_hold_back_none_of_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let [dead, silent, alive] = [Sink::start(), Sink::start(), Sink::start()];
    dead.close();
    silent.always(Answer::Hang);
    let bench = Bench::start(directory.path(), &[&dead, &silent, &alive], &[]);
    bench.push(0..300);
    eventually("the one that is alive to have all", || arrived(&alive).len() == 300);
    eventually("its spool to be empty", || bench.sum("telemetry_queued", 3) == 0.0);
    assert_eq!([1, 2].map(|number| bench.sum("telemetry_queued", number)), [300.0, 300.0]);

    dead.open();
    silent.always(Answer::Accept);
    bench.flush();
    for (number, sink) in [(1, &dead), (2, &silent), (3, &alive)] {
        assert_eq!(arrived(sink), (0..300).collect::<Vec<_>>(), "destination {number}");
        bench.assert_all_is_accounted_for(number);
    }
}

#[test]
fn the_oldest_make_room_in_a_full_spool_and_are_counted() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start(directory.path(), &[&sink], &["--telemetry-spool-bytes=4000"]);
    for round in 0..50 {
        bench.push(round * 10..round * 10 + 10);
        let came = (round + 1) * 10;
        let known = || bench.sum("telemetry_dropped_total", 1) as u64 + written(directory.path()) >= came;
        eventually("the round to be written", known);
    }
    let dropped = bench.sum("telemetry_dropped_total", 1);
    assert!(dropped > 0.0);
    assert!(bench.sum("telemetry_spool_bytes", 1) <= 4400.0, "one record above the bound at most");
    bench.assert_all_is_accounted_for(1);
    sink.open();
    bench.flush();
    let arrived = arrived(&sink);
    assert_eq!(arrived.len() as f64, 500.0 - dropped);
    assert_eq!(arrived.last(), Some(&499));
    assert!(arrived.is_sorted());
    bench.assert_all_is_accounted_for(1);
}

#[test]
fn what_is_too_old_is_dropped_and_counted() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start(directory.path(), &[&sink], &["--telemetry-spool-age=100ms"]);
    bench.push(0..50);
    eventually("all to be too old", || bench.sum("telemetry_dropped_total", 1) == 50.0);
    sink.open();
    bench.push([50]);
    bench.flush();
    assert_eq!(arrived(&sink), [50]);
    bench.assert_all_is_accounted_for(1);
}

#[test]
fn a_torn_or_damaged_spool_gives_what_is_whole_and_the_start_succeeds() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let first = Bench::start(directory.path(), &[&sink], &[]);
    first.push(0..40);
    first.until_written(directory.path(), 40);
    first.stop(directory.path());
    let files = segments(directory.path());
    let torn = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &torn[..torn.len() - 1]).unwrap();
    let mut flipped = fs::read(&files[1]).unwrap();
    flipped[30] ^= 1;
    fs::write(&files[1], flipped).unwrap();
    fs::write(files[0].with_file_name("00000000000000000999"), "no segment at all").unwrap();
    let whole = written(directory.path());

    sink.open();
    let second = Bench::start(directory.path(), &[&sink], &[]);
    second.push([40]);
    second.flush();
    let arrived = arrived(&sink);
    assert_eq!(arrived.len() as u64, whole + 1, "{arrived:?}");
    assert!(arrived.is_sorted() && arrived.last() == Some(&40));
    assert_eq!(arrived.iter().collect::<HashSet<_>>().len(), arrived.len());
    assert!(second.sum("telemetry_spool_damaged_bytes_total", 1) > 0.0);
    second.assert_all_is_accounted_for(1);
}

#[test]
fn a_start_succeeds_wherever_the_last_write_was_torn() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start(directory.path(), &[&sink], &[]);
    for round in 0..3 {
        bench.push(round * 3..round * 3 + 3);
        bench.until_written(directory.path(), round * 3 + 3);
    }
    bench.stop(directory.path());
    let files = segments(directory.path());
    let whole = fs::read(&files[0]).unwrap();
    let limits = Limits { batch: 10, memory: 10, bytes: 1 << 20, age: Duration::from_secs(3600) };
    for length in 0..=whole.len() {
        fs::write(&files[0], &whole[..length]).unwrap();
        let metrics = PipelineMetrics::register(&Registry::new()).unwrap().of(Signal::Traces, 1);
        Spool::open(directory.path().join("s/traces-1"), limits, metrics.destinations[0].clone()).unwrap();
        assert_eq!(
            metrics.queued(),
            i64::try_from(spool::items(&whole[..length])).unwrap(),
            "torn at {length}"
        );
    }
}

#[test]
fn a_spool_that_another_process_has_is_left_alone() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let first = Bench::start(directory.path(), &[&sink], &[]);
    let second = Bench::start(directory.path(), &[&sink], &[]);
    first.push([1]);
    second.push([2]);
    first.until_written(directory.path(), 1);
    sink.open();
    first.flush();
    second.flush();
    assert_eq!(arrived(&sink).into_iter().collect::<HashSet<_>>(), [1, 2].into());
}

#[test]
fn a_disk_that_refuses_costs_the_spool_and_not_the_spans() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let bench = Bench::start(directory.path(), &[&sink], &[]);
    fs::remove_dir_all(directory.path().join("s")).unwrap();
    bench.push(0..25);
    bench.flush();
    assert_eq!(arrived(&sink), (0..25).collect::<Vec<_>>());
    bench.assert_all_is_accounted_for(1);
}

#[test]
fn a_disk_that_hangs_holds_nobody_up_and_what_does_not_fit_is_counted() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    // A pipeline that has not begun to write is as far as one whose write does not return.
    let (bench, pipeline) = Bench::build(directory.path(), &[&sink], &[]);
    bench.push(0..1007);
    assert_eq!(bench.sum("telemetry_dropped_total", 1), 7.0);
    assert_eq!(bench.sum("telemetry_queued", 1), QUEUE as f64);
    bench.assert_all_is_accounted_for(1);
    pipeline.start("test-pipeline", encode).unwrap();
    bench.flush();
    assert_eq!(arrived(&sink), (0..1000).collect::<Vec<_>>());
    bench.assert_all_is_accounted_for(1);
}

#[test]
fn requests_are_compressed_and_bear_the_headers_that_were_asked_for() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let headers = "--otel-exporter-otlp-headers=authorization=Bearer%20t0ken";
    let bench = Bench::start(directory.path(), &[&sink], &["--otel-exporter-otlp-compression=gzip", headers]);
    bench.push([1]);
    bench.flush();
    assert_eq!(arrived(&sink), [1]);
    let sent = &sink.attempts()[0].headers;
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("authorization", "Bearer t0ken"),
        ("content-type", "application/x-protobuf"),
    ] {
        assert!(sent.contains(&(name.to_owned(), value.to_owned())), "{name}: {sent:?}");
    }
}
