//! A pipeline with real sockets and a real directory. What an earlier process has left is what an earlier pipeline
//! has left: it lets go of its spool when nobody can push any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use opentelemetry_proto::tonic::trace::v1::Span;
use prometheus::Registry;
use prost::Message as _;
use testkit::otlp::{Answer, OtlpSink as Sink};

use super::*;
use crate::Settings;

mod disk;
mod refusals;

const QUEUE: usize = 1000;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    telemetry: Settings,
}

/// A pipeline of numbers; each becomes a span with its name.
struct Bench {
    intake: Option<Intake>,
    registry: Registry,
}

impl Bench {
    fn start(directory: &Path, sinks: &[&Sink], arguments: &[&str]) -> Self {
        let (bench, pipeline) = Self::build(directory, sinks, arguments);
        pipeline.start("test-pipeline").unwrap();
        bench
    }

    fn build(directory: &Path, sinks: &[&Sink], arguments: &[&str]) -> (Self, Pipeline) {
        let urls: Vec<_> = sinks.iter().map(|sink| sink.url() + "/v1/traces").collect();
        let urls = format!("--otel-exporter-otlp-traces-endpoint={}", urls.join(","));
        let spool = format!("--telemetry-spool-dir={}", directory.display());
        let timeout = "--otel-exporter-otlp-timeout=300";
        let arguments = [&["test", &urls, &spool, timeout], arguments].concat();
        let settings = Command::parse_from(arguments).telemetry.export;
        let registry = Registry::new();
        let options = Options {
            signal: Signal::Traces,
            template: Template::of([Vec::new()]),
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
        let intake = self.intake.as_ref().unwrap();
        numbers.into_iter().for_each(|number| intake.push(0, |item| item.fields(&encode(number))));
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

    /// Ends it, and waits until it has let go of its `place`.
    fn stop(mut self, place: &Path) {
        self.intake = None;
        let lock = fs::File::open(place.join("lock")).unwrap();
        eventually("the pipeline to end", || lock.try_lock().is_ok());
    }
}

fn encode(number: u64) -> Vec<u8> {
    Span { name: number.to_string(), ..Span::default() }.encode_to_vec()
}

/// Where the spool of the first destination is.
fn place(directory: &Path) -> PathBuf {
    directory.join("s/traces-1")
}

fn segments(place: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| !path.ends_with("lock") && !path.ends_with("spare")).collect();
    files.sort();
    files
}

/// Items in the spool at `place`.
fn written(place: &Path) -> u64 {
    let items = |path| spool::items(&fs::read(path).unwrap_or_default());
    segments(place).iter().map(items).sum()
}

fn until_written(place: &Path, items: u64) {
    eventually("all to be in the spool", || written(place) == items);
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
    until_written(&place(directory.path()), 95);
    first.assert_all_is_accounted_for(1);
    first.stop(&place(directory.path()));

    sink.open();
    let second = Bench::start(directory.path(), &[&sink], &[]);
    second.push(95..100);
    second.flush();
    assert_eq!(arrived(&sink), (0..100).collect::<Vec<_>>());
    assert_eq!(second.sum("telemetry_recovered_total", 1), 95.0);
    assert_eq!(second.sum("telemetry_exported_total", 1), 100.0);
    assert_eq!(second.sum("telemetry_spool_bytes", 1), 0.0);
    assert_eq!(segments(&place(directory.path())), [] as [&Path; 0], "what was taken is still there");
    second.assert_all_is_accounted_for(1);
}

#[test]
fn a_backlog_is_sent_with_pauses() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start(directory.path(), &[&sink], &[]);
    bench.push(0..200);
    until_written(&place(directory.path()), 200);
    // Whoever was never found away has not just come back.
    eventually("an attempt to fail", || bench.sum("telemetry_retries_total", 1) > 0.0);
    sink.open();
    bench.flush();
    let attempts = sink.attempts();
    assert!(attempts.len() >= 20, "batches of ten");
    let paused = attempts.windows(2).filter(|pair| pair[1].at - pair[0].at >= Duration::from_millis(9));
    // One that a busy machine has held up makes the next one look hurried.
    assert!(paused.count() * 2 > attempts.len(), "a receiver that has just come back was run over");
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
