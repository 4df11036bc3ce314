//! The spool on a disk that is full, torn, damaged, shared, gone or stuck.

use std::collections::HashSet;

use prost::bytes::Bytes;

use super::spool::Next;
use super::*;
use crate::full_disk::pass_on_a_full_disk;

#[test]
fn a_full_spool_drops_the_oldest_and_counts_them() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench =
        Bench::start_with(directory.path(), &[&sink], Options { spool_bytes: 4000, ..Options::default() });
    for round in 0..50 {
        bench.push(round * 10..round * 10 + 10);
        let came = (round + 1) * 10;
        let known =
            || bench.sum("telemetry_dropped_total", 1) as u64 + written(&place(directory.path())) >= came;
        eventually("the round to be written", known);
    }
    let dropped = bench.sum("telemetry_dropped_total", 1);
    assert!(dropped > 0.0);
    assert!(bench.sum("telemetry_spool_bytes", 1) <= 4400.0, "one record above the bound at most");
    bench.assert_accounted(1);
    sink.open();
    bench.flush();
    let arrived = arrived(&sink);
    assert_eq!(arrived.len() as f64, 500.0 - dropped);
    assert_eq!(arrived.last(), Some(&499));
    assert!(arrived.is_sorted());
    bench.assert_accounted(1);
}

#[test]
fn a_request_that_is_too_old_is_dropped_and_counted() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start_with(
        directory.path(),
        &[&sink],
        Options { spool_age: Duration::from_millis(100), ..Options::default() },
    );
    bench.push(0..50);
    eventually("all to be too old", || bench.sum("telemetry_dropped_total", 1) == 50.0);
    sink.open();
    bench.push([50]);
    bench.flush();
    assert_eq!(arrived(&sink), [50]);
    bench.assert_accounted(1);
}

#[test]
fn a_damaged_spool_gives_what_is_whole() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let first = Bench::start(directory.path(), &[&sink]);
    first.push(0..40);
    until_written(&place(directory.path()), 40);
    first.stop(&place(directory.path()));
    let files = segments(&place(directory.path()));
    let torn = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &torn[..torn.len() - 1]).unwrap();
    let mut flipped = fs::read(&files[1]).unwrap();
    flipped[30] ^= 1;
    fs::write(&files[1], flipped).unwrap();
    fs::write(files[0].with_file_name("00000000000000000999"), "no segment at all").unwrap();
    let whole = written(&place(directory.path()));

    sink.open();
    let second = Bench::start(directory.path(), &[&sink]);
    second.push([40]);
    second.flush();
    let arrived = arrived(&sink);
    assert_eq!(arrived.len() as u64, whole + 1, "{arrived:?}");
    assert!(arrived.is_sorted() && arrived.last() == Some(&40));
    assert_eq!(arrived.iter().collect::<HashSet<_>>().len(), arrived.len());
    assert!(second.sum("telemetry_spool_damaged_bytes_total", 1) > 0.0);
    second.assert_accounted(1);
}

#[test]
fn a_start_succeeds_wherever_the_last_write_was_torn() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start(directory.path(), &[&sink]);
    for round in 0..3 {
        bench.push(round * 3..round * 3 + 3);
        until_written(&place(directory.path()), round * 3 + 3);
    }
    bench.stop(&place(directory.path()));
    let files = segments(&place(directory.path()));
    let whole = fs::read(&files[0]).unwrap();
    let limits = Limits { batch: 10, memory: 10, bytes: 1 << 20, age: Duration::from_secs(3600) };
    for length in 0..=whole.len() {
        fs::write(&files[0], &whole[..length]).unwrap();
        let metrics = PipelineMetrics::register(&Registry::new()).unwrap().of("traces", 1);
        Spool::open(place(directory.path()), limits, metrics.destinations[0].clone()).unwrap();
        assert_eq!(
            metrics.queued(),
            i64::try_from(spool::record::items(&whole[..length])).unwrap(),
            "torn at {length}"
        );
    }
}

#[test]
fn two_processes_share_a_spool_and_the_next_inherits_both() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let [place, beside] = ["s/traces-1", "s/traces-1.2"].map(|place| directory.path().join(place));
    sink.close();
    let first = Bench::start(directory.path(), &[&sink]);
    let second = Bench::start(directory.path(), &[&sink]);
    first.push(0..20);
    second.push(20..35);
    eventually("both to be written", || [&place, &beside].map(|place| written(place)) == [20, 15]);
    second.stop(&beside);
    // What the first has is its own for as long as it lives.
    let third = Bench::start(directory.path(), &[&sink]);
    third.push(35..40);
    eventually("all to be written", || [&place, &beside].map(|place| written(place)) == [20, 20]);
    third.assert_accounted(1);
    third.stop(&beside);
    first.stop(&place);

    sink.open();
    let last = Bench::start(directory.path(), &[&sink]);
    last.push(40..45);
    last.flush();
    assert_eq!(arrived(&sink), (0..45).collect::<Vec<_>>());
    assert_eq!(last.sum("telemetry_recovered_total", 1), 40.0);
    assert_eq!([place, beside].map(|place| segments(&place).len()), [0, 0]);
    last.assert_accounted(1);
}

#[test]
fn a_disk_that_refuses_costs_no_span() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let bench = Bench::start(directory.path(), &[&sink]);
    fs::remove_dir_all(directory.path().join("s")).unwrap();
    bench.push(0..25);
    bench.flush();
    assert_eq!(arrived(&sink), (0..25).collect::<Vec<_>>());
    bench.assert_accounted(1);
}

#[test]
fn a_full_disk_tears_nothing_and_memory_takes_the_rest() {
    pass_on_a_full_disk("pipeline::tests::disk::with_files_that_cannot_grow");
}

#[test]
#[ignore = "the test above starts it"]
fn with_files_that_cannot_grow() {
    let directory = tempfile::tempdir().unwrap();
    let metrics = PipelineMetrics::register(&Registry::new()).unwrap().of("traces", 1);
    let limits = Limits { batch: 100, memory: 100, bytes: 1 << 20, age: Duration::from_secs(3600) };
    let series = metrics.destinations[0].clone();
    let mut spool = Spool::open(directory.path().to_owned(), limits, series.clone()).unwrap();
    let payloads: Vec<_> = (0..9_u8).map(|number| Bytes::from(vec![number; 700])).collect();
    for payload in &payloads {
        spool.append(payload, 1);
    }
    let files: Vec<_> = segments(directory.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    let on_disk: u64 = files.iter().map(|bytes| spool::record::items(bytes)).sum();
    assert!((3..9).contains(&on_disk), "{on_disk} are on disk, the limit has no effect");

    spool.seal();
    let mut read = Vec::new();
    while let Next::Now(mut segment) = spool.take(Duration::ZERO) {
        read.extend(spool.read(&mut segment));
        spool.remove(segment);
    }
    assert_eq!(read, payloads.concat());
    assert_eq!((series.damaged.get(), metrics.lost()), (0, 0));
    assert_eq!(segments(directory.path()), [] as [&Path; 0]);
}

#[test]
fn a_disk_that_hangs_holds_up_no_thread() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    // A pipeline that has not begun to write is as far as one whose write does not return.
    let (bench, pipeline) = Bench::build(directory.path(), &[&sink], Options::default());
    bench.push(0..1007);
    assert_eq!(bench.sum("telemetry_dropped_total", 1), 7.0);
    assert_eq!(bench.sum("telemetry_queued", 1), QUEUE as f64);
    bench.assert_accounted(1);
    pipeline.start().unwrap();
    bench.flush();
    assert_eq!(arrived(&sink), (0..1000).collect::<Vec<_>>());
    bench.assert_accounted(1);
}

#[test]
fn files_that_others_truncate_or_remove_cost_their_own_items() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    sink.close();
    let bench = Bench::start(directory.path(), &[&sink]);
    bench.push(0..25);
    until_written(&place(directory.path()), 25);
    let files = segments(&place(directory.path()));
    fs::write(&files[0], "").unwrap();
    fs::remove_file(&files[1]).unwrap();
    fs::write(&files[2], "").unwrap();
    bench.push(25..40);
    sink.open();
    bench.flush();
    let arrived = arrived(&sink);
    assert!(arrived.ends_with(&(25..40).collect::<Vec<_>>()), "{arrived:?}");
    assert_eq!(bench.sum("telemetry_dropped_total", 1), 40.0 - arrived.len() as f64);
    bench.assert_accounted(1);
}

#[test]
fn a_start_leaves_alone_what_is_no_file_of_it() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    fs::create_dir_all(place(directory.path()).join("00000000000000000007")).unwrap();
    fs::create_dir(place(directory.path()).join("spare")).unwrap();
    let bench = Bench::start(directory.path(), &[&sink]);
    bench.push(0..25);
    bench.flush();
    assert_eq!(arrived(&sink), (0..25).collect::<Vec<_>>());
    bench.assert_accounted(1);
}

#[test]
fn a_clock_that_steps_ages_no_request_of_this_process() {
    let directory = tempfile::tempdir().unwrap();
    let age = Duration::from_secs(3600);
    let limits = Limits { batch: 10, memory: 10, bytes: 1 << 20, age };
    let open = || {
        let metrics = PipelineMetrics::register(&Registry::new()).unwrap().of("traces", 1);
        Spool::open(directory.path().to_owned(), limits, metrics.destinations[0].clone()).unwrap()
    };
    let has_expired = |spool: &mut Spool| {
        let Next::Now(segment) = spool.take(Duration::ZERO) else { panic!("an empty spool") };
        spool.has_expired(&segment)
    };
    let mut spool = open();
    spool.append(&Bytes::from_static(b"request"), 1);
    crate::clock::step::forward(2 * age);
    assert!(!has_expired(&mut spool), "the system's clock is asked");
    drop(spool);
    // What an earlier process has written has the age of the system's clock, for want of another.
    assert!(has_expired(&mut open()));
}

#[test]
fn the_age_of_an_earlier_process_counts() {
    let (directory, sink) = (tempfile::tempdir().unwrap(), Sink::start());
    let hour = Duration::from_secs(3600);
    let Encoded { body, items } = encode(1);
    fs::create_dir_all(place(directory.path())).unwrap();
    for (name, age) in [("1", 3 * hour), ("2", hour)] {
        let written = u64::try_from((crate::clock::now() - age).as_millis()).unwrap();
        let record = spool::record::Record { items, written, payload: &body }.encode().unwrap();
        fs::write(place(directory.path()).join(name), record).unwrap();
    }
    let options = Options { spool_age: 2 * hour, ..Options::default() };
    let bench = Bench::start_with(directory.path(), &[&sink], options);
    bench.push([2]);
    bench.flush();
    assert_eq!(arrived(&sink), [1, 2]);
    assert_eq!(bench.sum("telemetry_dropped_total", 1), 1.0);
    bench.assert_accounted(1);
}
