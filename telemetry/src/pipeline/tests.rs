//! A pipeline with real sockets and a real directory. An earlier pipeline stands for an earlier process: it unlocks its
//! spool when the last intake is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus::Registry;
use prost::Message as _;
use prost::bytes::Bytes;
use testkit::otlp::{Answer, OtlpSink as Sink};

use super::*;
use crate::Variables;
use crate::settings::Otel;

mod disk;
mod refusals;

const QUEUE: usize = 1000;

/// A pipeline of numbers; each becomes a span with its name.
struct Bench {
    intake: Option<Intake<Encoded>>,
    registry: Registry,
}

/// The settings that a test may change.
struct Options {
    queue: usize,
    spool_bytes: usize,
    spool_age: Duration,
    has_gzip: bool,
    headers: HeaderMap,
}

impl Default for Options {
    fn default() -> Self {
        let spool_age = Duration::from_secs(24 * 3600);
        Self { queue: QUEUE, spool_bytes: 256 << 20, spool_age, has_gzip: false, headers: HeaderMap::new() }
    }
}

impl Bench {
    fn start(directory: &Path, sinks: &[&Sink]) -> Self {
        Self::start_with(directory, sinks, Options::default())
    }

    fn start_with(directory: &Path, sinks: &[&Sink], options: Options) -> Self {
        let (bench, pipeline) = Self::build(directory, sinks, options);
        pipeline.start().unwrap();
        bench
    }

    fn build(directory: &Path, sinks: &[&Sink], options: Options) -> (Self, Pipeline<Encoded>) {
        let urls = sinks.iter().map(|sink| format!("{}/v1/traces", sink.url()).parse().unwrap());
        let export = Export {
            signal: "traces",
            destinations: urls.collect(),
            headers: options.headers,
            has_gzip: options.has_gzip,
            timeout: Duration::from_millis(300),
            queue: options.queue,
            batch: 10,
            // A request leaves when it is full, or flushed.
            delay: Duration::from_secs(600),
            interval: Duration::from_secs(600),
        };
        let spool = SpoolSettings {
            directory: directory.join("s"),
            bytes: options.spool_bytes,
            age: options.spool_age,
        };
        let registry = Registry::new();
        let metrics = PipelineMetrics::register(&registry).unwrap();
        let pipeline = Pipeline::build(&export, &spool, &metrics, |client| Ok(requests(client))).unwrap();
        (Self { intake: Some(pipeline.intake.clone()), registry }, pipeline)
    }

    fn push(&self, numbers: impl IntoIterator<Item = u64>) {
        let intake = self.intake.as_ref().unwrap();
        numbers.into_iter().for_each(|number| intake.push(encode(number)));
    }

    fn flush(&self) {
        let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let flush = self.intake.as_ref().unwrap().outbound().flush();
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

    fn assert_accounted(&self, destination: usize) {
        let sum = |name| self.sum(name, destination);
        let came = sum("telemetry_recorded_total") + sum("telemetry_recovered_total");
        let went = sum("telemetry_exported_total")
            + sum("telemetry_rejected_total")
            + sum("telemetry_dropped_total")
            + sum("telemetry_queued");
        assert_eq!(came, went, "destination {destination}");
    }

    /// Ends it, and waits until its `place` is unlocked.
    fn stop(mut self, place: &Path) {
        self.intake = None;
        let lock = fs::File::open(place.join("lock")).unwrap();
        eventually("the pipeline to end", || lock.try_lock().is_ok());
    }
}

fn encode(number: u64) -> Encoded {
    let span = Span { name: number.to_string(), ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    Encoded { body: ExportTraceServiceRequest { resource_spans }.encode_to_vec().into(), items: 1 }
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
    let items = |path| spool::record::items(&fs::read(path).unwrap_or_default());
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
fn an_outage_and_a_restart_keep_order_and_number() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let first = Bench::start(directory.path(), &[&sink]);
    first.push(0..95);
    until_written(&place(directory.path()), 95);
    first.assert_accounted(1);
    first.stop(&place(directory.path()));

    sink.open();
    let second = Bench::start(directory.path(), &[&sink]);
    second.push(95..100);
    second.flush();
    assert_eq!(arrived(&sink), (0..100).collect::<Vec<_>>());
    assert_eq!(second.sum("telemetry_recovered_total", 1), 95.0);
    assert_eq!(second.sum("telemetry_exported_total", 1), 100.0);
    assert_eq!(second.sum("telemetry_spool_bytes", 1), 0.0);
    assert_eq!(segments(&place(directory.path())), [] as [&Path; 0], "accepted requests are still there");
    second.assert_accounted(1);
}

#[test]
fn a_backlog_is_sent_with_pauses() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start(directory.path(), &[&sink]);
    bench.push(0..200);
    until_written(&place(directory.path()), 200);
    // Without a failed attempt the receiver was never away.
    eventually("an attempt to fail", || bench.sum("telemetry_retries_total", 1) > 0.0);
    sink.open();
    bench.flush();
    let attempts = sink.attempts();
    assert!(attempts.len() >= 20, "batches of ten");
    let paused = attempts.windows(2).filter(|pair| pair[1].at - pair[0].at >= Duration::from_millis(9));
    // One that a busy machine has held up makes the next one look hurried.
    assert!(paused.count() * 2 > attempts.len(), "a receiver that has just come back was flooded");
}

#[test]
fn a_dead_and_a_silent_destination_hold_back_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let [dead, silent, alive] = [Sink::start(), Sink::start(), Sink::start()];
    dead.close();
    silent.always(Answer::Hang);
    let bench = Bench::start(directory.path(), &[&dead, &silent, &alive]);
    bench.push(0..300);
    eventually("the one that is alive to have all", || arrived(&alive).len() == 300);
    eventually("its spool to be empty", || bench.sum("telemetry_queued", 3) == 0.0);
    assert_eq!([1, 2].map(|number| bench.sum("telemetry_queued", number)), [300.0, 300.0]);

    dead.open();
    silent.always(Answer::Accept);
    bench.flush();
    for (number, sink) in [(1, &dead), (2, &silent), (3, &alive)] {
        assert_eq!(arrived(sink), (0..300).collect::<Vec<_>>(), "destination {number}");
        bench.assert_accounted(number);
    }
}

#[test]
fn requests_are_compressed_and_have_their_headers() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer t0ken"))]);
    let options = Options { has_gzip: true, headers, ..Options::default() };
    let bench = Bench::start_with(directory.path(), &[&sink], options);
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

#[test]
fn the_size_of_the_queue_is_a_number_of_items() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Sink::start();
    let settings = Variables { otel_bsp_max_queue_size: Some("100".to_owned()), ..Variables::default() };
    let queue = Otel::read(&settings, std::iter::empty()).traces.unwrap().queue;
    let options = Options { queue, ..Options::default() };
    let (bench, _not_started) = Bench::build(directory.path(), &[&sink], options);
    let body = Bytes::from(vec![0; 20_000]);
    for number in 1..=103 {
        bench.intake.as_ref().unwrap().push(Encoded { body: body.clone(), items: 1 });
        let dropped = bench.sum("telemetry_dropped_total", 1);
        assert_eq!(dropped, f64::from((number - 100).max(0)), "after {number} large items");
    }
}
