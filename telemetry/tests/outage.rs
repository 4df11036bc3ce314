//! The receiver of spans is busy, broken, silent or gone: nothing that fits the queue is lost, what does not
//! fit is counted, and no thread that ends a span waits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use support::{Bench, endpoint};
use telemetry::Flush;
use testkit::otlp::{Answer, OtlpSink};
use testkit::wait::eventually;
use tokio::sync::{Mutex, MutexGuard};

const QUEUE: u64 = 64;
const BATCH: usize = 16;
/// What a destination waits after a first failure; 20 ms are forgiven, for clocks.
const FIRST_DELAY: Duration = Duration::from_millis(180);

/// One pipeline, one test at a time.
struct Line {
    bench: &'static Bench,
    sink: &'static OtlpSink,
    before: Counters,
    _turn: MutexGuard<'static, ()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    exported: u64,
    queue_full: u64,
    rejected: u64,
}

impl Line {
    /// Waits for its turn, and for the pipeline to be empty.
    async fn quiet() -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        static SHARED: OnceLock<(Bench, OtlpSink)> = OnceLock::new();
        // A test that failed may have left anything behind; that must not fail the others.
        let turn = TURN.lock().await;
        let (bench, sink) = SHARED.get_or_init(|| {
            let sink = OtlpSink::start();
            let small = ["--otel-bsp-max-queue-size=64", "--otel-bsp-max-export-batch-size=16"];
            let patience = "--otel-exporter-otlp-timeout=300";
            (Bench::start(&[&[endpoint(&sink).as_str(), patience], &small[..]].concat()), sink)
        });
        sink.close();
        sink.open();
        sink.script(&[]);
        sink.always(Answer::Accept);
        bench.flush().await;
        let before = counters(bench).await;
        Self { bench, sink, before, _turn: turn }
    }

    /// What has been counted since this test began.
    async fn counted(&self) -> Counters {
        let now = counters(self.bench).await;
        Counters {
            exported: now.exported - self.before.exported,
            queue_full: now.queue_full - self.before.queue_full,
            rejected: now.rejected - self.before.rejected,
        }
    }

    async fn until_exported(&self, number: u64) {
        let what = format!("{number} spans to be exported");
        eventually(&what, async || self.counted().await.exported >= number).await;
    }
}

async fn counters(bench: &Bench) -> Counters {
    Counters {
        exported: bench.metric(r#"telemetry_exported_total{destination="1",signal="traces"}"#).await,
        queue_full: bench
            .metric(r#"telemetry_dropped_total{destination="1",reason="queue_full",signal="traces"}"#)
            .await,
        rejected: bench
            .metric(r#"telemetry_rejected_total{destination="1",reason="bad_request",signal="traces"}"#)
            .await,
    }
}

fn end_spans(name: &str, number: u64) {
    for _ in 0..number {
        tracing::info_span!("outage", otel.name = name).in_scope(|| ());
    }
}

/// How many different spans of this name have been accepted, and how often in all.
fn arrived(sink: &OtlpSink, name: &str) -> (usize, usize) {
    let spans = sink.named(name);
    let ids: HashSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    (ids.len(), spans.len())
}

#[actix_rt::test]
async fn a_busy_receiver_gets_every_span_once() {
    let line = Line::quiet().await;
    let past = line.sink.attempts().len();
    let busy = [502, 503, 504].map(Answer::Refuse);
    line.sink.script(&[&busy[..], &[Answer::Later(429, 1), Answer::Accept]].concat());
    end_spans("busy", 40);
    line.until_exported(40).await;
    assert_eq!(line.counted().await, Counters { exported: 40, queue_full: 0, rejected: 0 });
    assert_eq!(arrived(line.sink, "busy"), (40, 40));

    let attempts = &line.sink.attempts()[past..];
    let waited = |number: usize| attempts[number + 1].at - attempts[number].at;
    assert!(waited(0) >= FIRST_DELAY, "{:?}", waited(0));
    assert!(waited(1) >= 2 * FIRST_DELAY, "the delay does not grow: {:?}", waited(1));
    assert!(waited(3) >= Duration::from_millis(980), "Retry-After was not honoured: {:?}", waited(3));
}

#[actix_rt::test]
async fn a_retry_after_of_zero_is_no_endless_loop() {
    let line = Line::quiet().await;
    let past = line.sink.attempts().len();
    line.sink.script(&[Answer::Later(429, 0); 3]);
    end_spans("besieged", 1);
    line.until_exported(1).await;
    for pair in line.sink.attempts()[past..].windows(2) {
        let waited = pair[1].at - pair[0].at;
        assert!(waited >= FIRST_DELAY, "came back after {waited:?}");
    }
}

#[actix_rt::test]
async fn a_silent_receiver_is_tried_again_after_the_timeout() {
    let line = Line::quiet().await;
    line.sink.script(&[Answer::Hang]);
    end_spans("silent", 5);
    line.until_exported(5).await;
    assert_eq!(arrived(line.sink, "silent"), (5, 5));
    assert_eq!(line.counted().await, Counters { exported: 5, queue_full: 0, rejected: 0 });
}

#[actix_rt::test]
async fn a_span_refused_for_good_is_counted_and_not_sent_again() {
    let line = Line::quiet().await;
    line.sink.always(Answer::Refuse(400));
    let past = line.sink.attempts().len();
    end_spans("refused", 5);
    line.bench.flush().await;
    assert_eq!(line.counted().await, Counters { exported: 0, queue_full: 0, rejected: 5 });
    let attempts = line.sink.attempts();
    let alone = attempts[past..].iter().filter(|attempt| attempt.spans == 1);
    assert_eq!(alone.count(), 5, "each span is sent by itself, once");

    line.sink.always(Answer::Accept);
    end_spans("after the refusal", 1);
    line.bench.flush().await;
    assert_eq!(arrived(line.sink, "after the refusal"), (1, 1));
    assert_eq!(arrived(line.sink, "refused"), (0, 0));
    assert_eq!(line.bench.health().await.queued, 0);
}

#[actix_rt::test]
async fn accepted_spans_count_as_exported_if_the_answer_breaks_off() {
    let line = Line::quiet().await;
    line.sink.script(&[Answer::AcceptAndBreak]);
    end_spans("broken answer", 1);
    line.until_exported(1).await;
    assert_eq!(arrived(line.sink, "broken answer"), (1, 1));
    assert_eq!(line.counted().await.rejected, 0);
}

#[actix_rt::test]
async fn a_flush_keeps_to_the_size_of_a_batch() {
    let line = Line::quiet().await;
    let past = line.sink.attempts().len();
    end_spans("flushed", QUEUE);
    line.bench.flush().await;
    assert_eq!(arrived(line.sink, "flushed"), (64, 64));
    let sizes: Vec<_> = line.sink.attempts()[past..].iter().map(|attempt| attempt.spans).collect();
    assert!(sizes.iter().all(|size| *size <= BATCH), "a receiver may refuse batches of {sizes:?}");
}

#[actix_rt::test]
async fn without_a_receiver_the_rest_is_counted_and_no_thread_waits() {
    const CREATED: u64 = 20_000;
    let line = Line::quiet().await;
    line.sink.close();
    let started = Instant::now();
    end_spans("gone", CREATED);
    let took = started.elapsed();
    // Twenty of them that waited for a failed attempt and the delay after it would take as long.
    assert!(took < Duration::from_secs(4), "ending {CREATED} spans took {took:?}");

    // The pipeline takes what came last out of its recorder, and finds no room for it.
    let flush = line.bench.observability.send(Flush);
    let waited = tokio::time::timeout(Duration::from_millis(400), flush).await;
    assert!(waited.is_err(), "a flush that ends without delivery has lied");
    let settled = async || {
        let queued = u64::try_from(line.bench.health().await.queued).unwrap();
        let lost = line.counted().await.queue_full;
        (queued <= QUEUE + BATCH as u64 && queued + lost == CREATED).then_some(lost)
    };
    let lost = eventually("all but what has room to be dropped", settled).await;
    let kept = CREATED - lost;
    assert!(kept >= QUEUE, "{kept} spans kept");
    let health = line.bench.health().await;
    assert_eq!(health.dropped, line.before.queue_full + line.before.rejected + lost);
    assert_eq!(line.bench.metric(r#"telemetry_queued{destination="1",signal="traces"}"#).await, kept);

    line.sink.open();
    line.until_exported(kept).await;
    line.bench.flush().await;
    assert_eq!(line.counted().await, Counters { exported: kept, queue_full: lost, rejected: 0 });
    let all = usize::try_from(kept).unwrap();
    assert_eq!(arrived(line.sink, "gone"), (all, all));
    assert_eq!(line.bench.health().await.queued, 0);
}
