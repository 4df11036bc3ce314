use super::*;
use crate::full_disk::pass_on_a_full_disk;

fn rescued(path: &Path, most: usize) -> (Recorder, Left) {
    let mut left = Left::default();
    let rescue = |found: Left| {
        left.about = found.about;
        left.items.extend(found.items);
    };
    let recorder = Recorder::open(path, most, b"me", rescue).unwrap();
    (recorder, left)
}

#[test]
fn what_was_not_forgotten_is_there_after_the_process_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new").join("recent");
    let (first, left) = rescued(&path, 10);
    assert_eq!(left.items, [] as [Vec<u8>; 0]);
    assert!(first.record(b"safe"));
    drop(first.take());
    assert!(first.record(b"one"));
    let mut taken = first.take();
    assert_eq!(taken.items(), [&b"one"[..]]);
    assert!(first.record(b"two"));
    assert!(first.take().items().is_empty(), "one at a time");
    // A process that is killed forgets nothing; only its memory goes, and with it the lock.
    drop(taken.half.take());
    drop(taken);
    drop(first);

    let (second, left) = rescued(&path, 20);
    assert_eq!(left.about, b"me");
    assert_eq!(left.items, [b"one", b"two"]);
    drop(second);
    assert_eq!(rescued(&path, 10).1.items, [] as [Vec<u8>; 0]);
}

#[test]
fn processes_at_once_leave_each_other_alone_and_the_next_one_rescues_from_both() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recent");
    let (first, _) = rescued(&path, 10);
    assert!(first.record(b"mine"));
    let (second, left) = rescued(&path, 10);
    assert!(left.items.is_empty());
    assert!(second.record(b"yours"));
    assert_eq!(first.take().items(), [&b"mine"[..]]);
    assert!(first.record(b"and mine"));
    drop((first, second));
    assert_eq!(rescued(&path, 10).1.items, [&b"and mine"[..], b"yours"]);
}

#[test]
fn a_disk_that_is_full_at_the_start_costs_the_file_and_not_the_start() {
    pass_on_a_full_disk("recorder::tests::with_files_that_can_not_grow");
}

#[test]
#[ignore = "the test above starts it"]
fn with_files_that_can_not_grow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("recent");
    let (recorder, _) = rescued(&path, 10);
    assert!(recorder.record(b"in memory"));
    assert_eq!(recorder.take().items(), [&b"in memory"[..]]);
    assert_eq!(std::fs::metadata(path).unwrap().len(), 0, "the limit has no effect");
}

#[test]
fn what_has_no_room_is_refused_and_there_is_room_again_after_it_was_taken() {
    let recorder = Recorder::in_memory(3).unwrap();
    let fit = |_: u8| (0..5).filter(|_| recorder.record(b"x")).count();
    assert_eq!(fit(1), 3);
    let taken = recorder.take();
    assert_eq!(fit(2), 3, "the other half");
    drop(taken);
    assert!(!recorder.record(b"x"), "nothing was taken since");
    assert!(!recorder.record(&[0; SMALLEST_HALF]), "longer than all there is");
    drop(recorder.take());
    assert_eq!(fit(3), 3);
}

#[tokio::test]
async fn whoever_gathers_wakes_for_items_for_a_flush_and_for_the_end() {
    let recorder = Recorder::in_memory(4).unwrap();
    let (ask, mut asked) = mpsc::unbounded_channel();
    assert!(recorder.record(b"x"));
    assert!(matches!(recorder.gather(&mut asked).await, Gathered::Some));
    ask.send(7).unwrap();
    assert!(matches!(recorder.gather(&mut asked).await, Gathered::Flush(7)));
    drop(ask);
    assert!(matches!(recorder.gather(&mut asked).await, Gathered::Ended));
}
