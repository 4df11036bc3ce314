//! Requests that a receiver refuses, in all or in part, cost nothing else.

use super::*;

#[test]
fn each_answer_is_judged_and_counted() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let bench = Bench::start(directory.path(), &[&sink]);
    for (answers, family, items) in [
        // All three, two, and each of them by itself.
        (&[Answer::Refuse(400); 5][..], "telemetry_rejected_total", 3.0),
        (&[Answer::Refuse(413); 5], "telemetry_rejected_total", 3.0),
        (&[Answer::Partial(2)], "telemetry_rejected_total", 2.0),
        (&[Answer::Partial(2)], "telemetry_exported_total", 1.0),
        // More than there were: no receiver can make the count wrong.
        (&[Answer::Partial(1000)], "telemetry_rejected_total", 3.0),
        (&[Answer::Partial(-1)], "telemetry_exported_total", 3.0),
        (&[Answer::Later(429, 0)], "telemetry_exported_total", 3.0),
        (&[Answer::Refuse(503)], "telemetry_retries_total", 1.0),
    ] {
        let before = bench.sum(family, 1);
        sink.script(answers);
        bench.push(0..3);
        bench.flush();
        assert_eq!(bench.sum(family, 1) - before, items, "{answers:?}");
        bench.assert_accounted(1);
    }
}

#[test]
fn a_refused_item_costs_none_of_its_neighbours() {
    for status in [400, 413, 500] {
        let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
        sink.always(Answer::RefuseAny(status, "13"));
        let rest = |numbers: std::ops::Range<u64>| numbers.filter(|number| *number != 13).collect::<Vec<_>>();
        let first =
            Bench::start_with(directory.path(), &[&sink], Options { has_gzip: true, ..Options::default() });
        first.push(0..40);
        first.flush();
        assert_eq!(arrived(&sink), rest(0..40), "{status}");
        assert_eq!(first.sum("telemetry_rejected_total", 1), 1.0);
        first.assert_accounted(1);
        sink.close();
        first.push(0..40);
        until_written(&place(directory.path()), 40);
        first.stop(&place(directory.path()));

        sink.open();
        let second = Bench::start(directory.path(), &[&sink]);
        second.push(40..45);
        second.flush();
        assert_eq!(arrived(&sink)[39..], rest(0..45), "{status}");
        assert_eq!(second.sum("telemetry_rejected_total", 1), 1.0);
        second.assert_accounted(1);
    }
}

#[test]
fn a_half_that_has_to_wait_is_sent_again() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let bench = Bench::start(directory.path(), &[&sink]);
    let busy = Answer::Refuse(503);
    sink.script(&[Answer::Refuse(400), busy, Answer::Accept, busy, busy, Answer::Accept]);
    bench.push(0..10);
    bench.flush();
    assert_eq!(arrived(&sink), (0..10).collect::<Vec<_>>());
    let sizes: Vec<_> = sink.attempts().iter().map(|attempt| attempt.spans).collect();
    assert_eq!(sizes, [10, 5, 5, 5, 5, 5]);
    bench.assert_accounted(1);
}

#[test]
fn a_refused_batch_is_halved_at_most_so_often() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let (bench, pipeline) = Bench::build(directory.path(), &[&sink], Options::default());
    sink.always(Answer::Refuse(400));
    // All at once, so that every batch is a full one.
    bench.push(0..1000);
    pipeline.start().unwrap();
    bench.flush();
    assert_eq!(bench.sum("telemetry_rejected_total", 1), 1000.0);
    let whole = sink.attempts().iter().filter(|attempt| attempt.spans == 10).count();
    assert_eq!((whole, sink.attempts().len()), (100, 100 + delivery::MAX_HALVES));

    sink.script(&[Answer::Accept, Answer::Refuse(400), Answer::Accept, Answer::Accept]);
    bench.push(0..20);
    bench.flush();
    assert_eq!(arrived(&sink), (0..20).collect::<Vec<_>>());
    bench.assert_accounted(1);
}

#[test]
fn a_request_without_authorization_is_not_halved() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let bench = Bench::start(directory.path(), &[&sink]);
    sink.always(Answer::Refuse(401));
    bench.push(0..10);
    bench.flush();
    assert_eq!(bench.sum("telemetry_rejected_total", 1), 10.0);
    assert_eq!(sink.attempts().len(), 1);
}
