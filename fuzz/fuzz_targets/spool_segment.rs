//! A segment of the spool after a crash or on a bad disk: each record that is read from it was written to it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use telemetry::testing::{SpoolRecord, read_spool_records, write_spool_record};

fuzz_target!(|bytes: &[u8]| {
    records_and_rest_are_all_bytes(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        records_are_read_up_to_a_tear_and_around_damage(text);
    }
});

fn records_and_rest_are_all_bytes(bytes: &[u8]) {
    let (records, lost) = read_spool_records(bytes);
    let (mut rest, mut skipped) = (bytes, 0);
    for record in records {
        // A record has one form: if its bytes are there, its checksum is right.
        let written = write_spool_record(record);
        let at = rest.windows(written.len()).position(|window| window == written).expect("a record that was not written");
        rest = &rest[at + written.len()..];
        skipped += at;
    }
    assert_eq!(lost, skipped + rest.len());
}

/// The lines of `text` are the payloads.
fn records_are_read_up_to_a_tear_and_around_damage(text: &str) {
    let record =
        |(number, line): (u64, &'_ str)| -> (u64, u64, Vec<u8>) { (number, number << 40, line.into()) };
    let written: Vec<_> = (0..).zip(text.lines()).map(record).collect();
    let written: Vec<SpoolRecord> =
        written.iter().map(|(items, time, payload)| (*items, *time, &payload[..])).collect();
    let (mut segment, mut ends) = (Vec::new(), vec![0]);
    for record in &written {
        segment.extend(write_spool_record(*record));
        ends.push(segment.len());
    }
    assert_eq!(read_spool_records(&segment), (written.clone(), 0));

    let at = text.bytes().map(usize::from).sum::<usize>() % (segment.len() + 1);
    let whole = ends.iter().filter(|end| **end <= at).count() - 1;
    assert_eq!(read_spool_records(&segment[..at]), (written[..whole].to_vec(), at - ends[whole]));

    let Some(byte) = segment.get_mut(at) else { return };
    *byte ^= 0x20;
    let (found, _) = read_spool_records(&segment);
    let expected = written[..whole].iter().chain(&written[whole + 1..]);
    assert!(found.iter().eq(expected), "{found:?}");
}
