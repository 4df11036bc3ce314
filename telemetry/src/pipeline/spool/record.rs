//! The bytes of a segment: records one after the other, each with its length and checksum, none longer than it says.
//!
//! A record is a marker, the length of its payload, a CRC-32 (IEEE) over all that follows it, the number of items,
//! the time of writing in milliseconds since 1970, and the payload; numbers are little-endian.

use std::ops::Range;

/// No UTF-8 text has these bytes, so that no text of a client looks like the beginning of a record.
const MARKER: [u8; 4] = [0xf5, b'o', b't', 0xfe];
const HEADER: usize = 28;
const LENGTH: Range<usize> = 4..8;

/// One request of the exporter, as it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Spans or log records in the payload.
    pub(crate) items: u64,
    /// Milliseconds since 1970.
    pub(crate) written: u64,
    /// An OTLP request.
    pub(crate) payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// The bytes before the payload; `None` if that is longer than 4 GiB.
    fn header(&self) -> Option<[u8; HEADER]> {
        let length = u32::try_from(self.payload.len()).ok()?;
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(&MARKER);
        header[LENGTH].copy_from_slice(&length.to_le_bytes());
        header[12..20].copy_from_slice(&self.items.to_le_bytes());
        header[20..].copy_from_slice(&self.written.to_le_bytes());
        let sum = checksum(length, &header[12..], self.payload);
        header[8..12].copy_from_slice(&sum.to_le_bytes());
        Some(header)
    }

    /// The bytes of the record, if it has a header.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        Some([&self.header()?[..], self.payload].concat())
    }

    /// The record at the beginning of `bytes`, and the bytes after it.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (marker, rest) = bytes.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let length = u32::from_le_bytes(*length);
        let (summed, rest) = rest.split_first_chunk::<{ HEADER - 12 }>()?;
        let (payload, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        if *marker != MARKER || u32::from_le_bytes(*sum) != checksum(length, summed, payload) {
            return None;
        }
        let (items, written) = summed.split_first_chunk()?;
        let (items, written) = (u64::from_le_bytes(*items), u64::from_le_bytes(*written.first_chunk()?));
        Some((Self { items, written, payload }, after))
    }
}

fn checksum(length: u32, numbers: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(numbers);
    hasher.update(payload);
    hasher.finalize()
}

/// Every whole record in `bytes`, in order, and how many bytes belong to none: a torn tail, or damage.
pub(crate) fn decode(bytes: &[u8]) -> (Vec<Record<'_>>, usize) {
    let (mut records, mut lost, mut rest) = (Vec::new(), 0, bytes);
    while !rest.is_empty() {
        if let Some((record, after)) = Record::read(rest) {
            records.push(record);
            rest = after;
        } else {
            let next = memchr::memmem::find(&rest[1..], &MARKER);
            let skipped = next.map_or(rest.len(), |at| at + 1);
            lost += skipped;
            rest = &rest[skipped..];
        }
    }
    (records, lost)
}

/// No file can make the sum overflow.
pub(super) fn count(records: &[Record<'_>]) -> u64 {
    records.iter().fold(0, |sum, record| sum.saturating_add(record.items))
}

/// Items in the bytes of a segment.
#[cfg(test)]
pub(crate) fn items(bytes: &[u8]) -> u64 {
    count(&decode(bytes).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: [Record<'static>; 4] = [
        Record { items: 3, written: 1_700_000_000_000, payload: b"three spans" },
        Record { items: 0, written: 0, payload: b"" },
        Record { items: u64::MAX, written: u64::MAX, payload: &MARKER },
        Record { items: 1, written: 1, payload: &[0; 300] },
    ];

    fn written() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for record in RECORDS {
            bytes.extend(record.encode().unwrap());
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let (bytes, _) = written();
        assert_eq!(decode(&bytes), (RECORDS.to_vec(), 0));
    }

    #[test]
    fn a_torn_segment_gives_the_records_before_the_tear() {
        let (bytes, ends) = written();
        for length in 0..=bytes.len() {
            let whole = ends.iter().filter(|end| **end <= length).count();
            let tail = length - ends[..whole].last().copied().unwrap_or(0);
            assert_eq!(decode(&bytes[..length]), (RECORDS[..whole].to_vec(), tail), "torn at {length}");
        }
    }

    #[test]
    fn a_changed_byte_costs_its_own_record_only() {
        let (bytes, ends) = written();
        for at in 0..bytes.len() {
            let hit = ends.iter().filter(|end| **end <= at).count();
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                let mut kept = RECORDS.to_vec();
                kept.remove(hit);
                assert_eq!(decode(&damaged).0, kept, "byte {at} xor {change:#x}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn records_and_the_rest_add_up_for_any_bytes(
            bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..500),
            at in 0..300_usize,
        ) {
            let (mut all, _) = written();
            let at = at.min(all.len());
            all.splice(at..at, bytes);
            let (records, lost) = decode(&all);
            let read: usize = records.iter().map(|record| HEADER + record.payload.len()).sum();
            proptest::prop_assert_eq!(read + lost, all.len());
            proptest::prop_assert!(records.iter().all(|record| RECORDS.contains(record)));
        }
    }
}
