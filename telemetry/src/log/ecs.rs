//! The form of a log line: JSON with the names of the Elastic Common Schema.
//!
//! slog-json writes the fields. The rest is the same in every line and has nothing to escape, so that it is copied.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use slog::{BorrowedKV, Drain, OwnedKVList, Record, RecordStatic};

use super::entry::{Entry, level_name, logger_name};
use super::fields::Fields;
use super::queue::LogQueue;

/// With the version of the schema whose names are used.
const VERSION_AND_LOGGER: &str = r#","ecs.version":"9.4.0","log.logger":"#;
/// The last second of the year 9999.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

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
}

impl Default for Formatter {
    fn default() -> Self {
        let line = Rc::new(RefCell::new(Vec::new()));
        let fields = slog_json::Json::new(Line(line.clone())).set_newlines(false).build();
        Self { fields, none: slog::o!().into(), line }
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
            write!(line, r#","span.id":"{}","trace.id":"{}""#, span.span_id(), span.trace_id())?;
        }
        Ok(())
    }

    /// Time, level, message and version lead every line, as ecs-logging asks. Gives the position of the fields.
    fn begin(&self, Entry { message, at, record, .. }: &Entry<'_>) -> io::Result<usize> {
        let mut line = self.line.borrow_mut();
        line.clear();
        let level = level_name(record.level());
        write!(line, r#"{{"@timestamp":"{}","log.level":"{level}","message":"#, time(*at))?;
        serde_json::to_writer(&mut *line, message)?;
        line.extend_from_slice(VERSION_AND_LOGGER.as_bytes());
        serde_json::to_writer(&mut *line, logger_name(record))?;
        Ok(line.len())
    }
}

/// A time by RFC 3339 in UTC, which ends with the year 9999.
fn time(since_epoch: Duration) -> impl Display {
    humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + since_epoch.min(LAST_SECOND))
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
    fn a_time_has_nanoseconds_and_a_year_of_four_digits() {
        for (at, expected) in [
            (Duration::ZERO, "1970-01-01T00:00:00.000000000Z"),
            (Duration::new(1_795_894_000, 120), "2026-11-28T19:26:40.000000120Z"),
            (Duration::from_secs(u64::MAX), "9999-12-31T23:59:59.000000000Z"),
        ] {
            assert_eq!(time(at).to_string(), expected);
        }
    }
}
