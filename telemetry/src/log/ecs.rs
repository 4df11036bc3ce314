//! The form of a log line: JSON with the names of the Elastic Common Schema.
//!
//! slog-json writes the fields. The rest is the same in every line and has nothing to escape, so that it is copied.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use slog::{BorrowedKV, Drain, OwnedKVList, Record, RecordStatic};

use super::entry::{Entry, level_name, logger_name};
use super::fields::Fields;
use super::queue::LogQueue;

/// With the version of the schema whose names are used.
const VERSION_AND_LOGGER: &str = r#","ecs.version":"9.4.0","log.logger":"#;
/// The last second of the year 9999, the last one of RFC 3339.
const LAST_SECOND: u64 = 253_402_300_799;

thread_local! {
    static FORMATTER: RefCell<Formatter> = RefCell::default();
}

/// Formats an entry on the thread that logs it, where the current span is known, into one queued line.
pub(super) struct EcsDrain {
    /// The end of every line.
    end: Vec<u8>,
    queue: LogQueue,
}

impl EcsDrain {
    /// A drain whose lines all have `constant` fields.
    pub(super) fn new(constant: &BTreeMap<String, String>, queue: LogQueue) -> Self {
        let fields = serde_json::json!(constant).to_string();
        Self { end: [",", &fields[1..], "\n"].concat().into_bytes(), queue }
    }

    /// Queues a line.
    pub(super) fn log(&self, entry: &Entry<'_>) {
        let format = |formatter: &mut Formatter| match formatter.format(entry) {
            Ok(()) => {
                let mut line = formatter.line.borrow_mut();
                line.extend_from_slice(&self.end);
                self.queue.push(&line);
            }
            // The buffer takes every byte, so that a value could not be serialised.
            Err(_) => self.queue.give_up(),
        };
        let kept = FORMATTER.try_with(|kept| kept.try_borrow_mut().map(|mut kept| format(&mut kept)).is_ok());
        // A value logs while it is formatted, or the thread ends.
        if kept != Ok(true) {
            format(&mut Formatter::default());
        }
    }
}

struct Formatter {
    fields: slog_json::Json<Line>,
    /// The fields of the logger are written with those of the record.
    none: OwnedKVList,
    line: Rc<RefCell<Vec<u8>>>,
    clock: Clock,
}

impl Default for Formatter {
    fn default() -> Self {
        let line = Rc::new(RefCell::new(Vec::new()));
        let fields = slog_json::Json::new(Line(line.clone())).set_newlines(false).build();
        Self { fields, none: slog::o!().into(), line, clock: Clock::default() }
    }
}

impl Formatter {
    /// Writes a line up to its end.
    fn format(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let Entry { message, span, record, values, .. } = entry;
        let begun = self.begin(entry)?;
        let location = RecordStatic { location: record.location(), tag: record.tag(), level: record.level() };
        let fields = Fields(values, record);
        self.fields
            .log(&Record::new(&location, &format_args!("{message}"), BorrowedKV(&fields)), &self.none)?;
        let mut line = self.line.borrow_mut();
        // slog-json has written braces around the fields.
        line.pop();
        match line.get_mut(begun + 1) {
            Some(_) => line[begun] = b',',
            None => line.truncate(begun),
        }
        if let Some(span) = span {
            for (name, id) in
                [("span.id", &span.span_id().to_bytes()[..]), ("trace.id", &span.trace_id().to_bytes())]
            {
                write_id(&mut line, name, id);
            }
        }
        Ok(())
    }

    /// Time, level, message and version lead every line, as ecs-logging asks. Gives the position of the fields.
    fn begin(&mut self, Entry { message, at, record, .. }: &Entry<'_>) -> io::Result<usize> {
        let mut line = self.line.borrow_mut();
        line.clear();
        line.extend_from_slice(br#"{"@timestamp":""#);
        self.clock.write(*at, &mut line);
        line.extend_from_slice(br#"","log.level":""#);
        line.extend_from_slice(level_name(record.level()).as_bytes());
        line.extend_from_slice(br#"","message":"#);
        serde_json::to_writer(&mut *line, message)?;
        line.extend_from_slice(VERSION_AND_LOGGER.as_bytes());
        serde_json::to_writer(&mut *line, logger_name(record))?;
        Ok(line.len())
    }
}

/// Formats times, and keeps the text up to the second, which most lines share with the line before.
#[derive(Default)]
struct Clock {
    second: Option<u64>,
    /// By RFC 3339, up to the dot before the fraction.
    text: String,
}

impl Clock {
    /// Writes a time by RFC 3339 in UTC, in nanoseconds.
    fn write(&mut self, since_epoch: Duration, to: &mut Vec<u8>) {
        let second = since_epoch.as_secs().min(LAST_SECOND);
        if self.second != Some(second) {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            self.text = humantime::format_rfc3339_seconds(at).to_string().replace('Z', ".");
            self.second = Some(second);
        }
        to.extend_from_slice(self.text.as_bytes());
        let (mut nanos, mut fraction) = (since_epoch.subsec_nanos(), *b"000000000Z");
        for digit in fraction[..9].iter_mut().rev() {
            *digit += (nanos % 10) as u8;
            nanos /= 10;
        }
        to.extend_from_slice(&fraction);
    }
}

fn write_id(line: &mut Vec<u8>, name: &str, id: &[u8]) {
    line.extend_from_slice(br#",""#);
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(br#"":""#);
    let at = line.len();
    line.resize(at + 2 * id.len(), 0);
    HEXLOWER.encode_mut(id, &mut line[at..]);
    line.push(b'"');
}

struct Line(Rc<RefCell<Vec<u8>>>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_by_humantime() {
        let mut clock = Clock::default();
        let mut written = |at| {
            let mut written = Vec::new();
            clock.write(at, &mut written);
            String::from_utf8(written).unwrap()
        };
        for (second, nanos) in [
            (0, 0),
            (0, 1),
            (1_795_894_000, 999_999_999),
            (1_795_894_000, 120),
            (1_795_893_999, 7),
            (LAST_SECOND, 0),
        ] {
            let at = Duration::new(second, nanos);
            let expected = humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + at).to_string();
            assert_eq!(written(at), expected);
        }
        assert_eq!(written(Duration::from_secs(LAST_SECOND + 1)), "9999-12-31T23:59:59.000000000Z");
    }
}
