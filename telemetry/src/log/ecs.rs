//! The shape of a log line: JSON, names of the Elastic Common Schema.
//!
//! slog-json writes the fields, which are what people say. What surrounds them is in all lines, has little in it that
//! would have to be escaped, and costs less when nobody looks for that byte by byte.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use slog::{BorrowedKV, Drain, OwnedKVList, Record, RecordStatic};

use super::fields::Fields;
use super::{LogQueue, Logged, level_name, logger_name};
use crate::{Service, Settings, hex, scratch};

/// With the version of the schema whose names are used.
const VERSION_AND_LOGGER: &str = r#","ecs.version":"9.4.0","log.logger":"#;
/// Of the year 9999, with which RFC 3339 ends.
const LAST_SECOND: u64 = 253_402_300_799;

thread_local! {
    static FORMATTER: Cell<Option<Formatter>> = const { Cell::new(None) };
}

/// Formats a record on the thread that logs it, where the current span is known, into one queued line.
pub(super) struct EcsDrain {
    /// What ends every line.
    end: Vec<u8>,
    queue: LogQueue,
}

impl EcsDrain {
    pub(super) fn new(service: Service, settings: &Settings, queue: LogQueue) -> Self {
        let fields = serde_json::json!({
            "service.environment": settings.deployment_environment,
            "service.name": service.name,
            "service.version": service.version,
        });
        Self { end: [",", &fields.to_string()[1..], "\n"].concat().into_bytes(), queue }
    }

    /// Queues a line.
    pub(super) fn log(&self, logged: &Logged<'_>) {
        scratch::lend(&FORMATTER, |formatter| match formatter.format(logged) {
            Ok(()) => {
                let mut line = formatter.line.borrow_mut();
                line.extend_from_slice(&self.end);
                self.queue.push(&line);
            }
            // The buffer takes every byte, so it was a value that could not be serialised.
            Err(_) => self.queue.give_up(),
        });
    }
}

struct Formatter {
    fields: slog_json::Json<Line>,
    /// What slog-json is told of a logger: its fields are among those of the record.
    none: OwnedKVList,
    line: Rc<RefCell<Vec<u8>>>,
    dial: Dial,
}

impl Default for Formatter {
    fn default() -> Self {
        let line = Rc::new(RefCell::new(Vec::new()));
        let fields = slog_json::Json::new(Line(line.clone())).set_newlines(false).build();
        Self { fields, none: slog::o!().into(), line, dial: Dial::default() }
    }
}

impl Formatter {
    /// Writes a line up to its end.
    fn format(&mut self, logged: &Logged<'_>) -> io::Result<()> {
        let Logged { message, span, record, values, .. } = logged;
        let begun = self.begin(logged)?;
        let place = RecordStatic { location: record.location(), tag: record.tag(), level: record.level() };
        let fields = Fields(values, record);
        self.fields.log(&Record::new(&place, &format_args!("{message}"), BorrowedKV(&fields)), &self.none)?;
        let mut line = self.line.borrow_mut();
        // The braces of what slog-json has written.
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

    /// Time, level, message and version lead every line, as ecs-logging asks. Answers where the fields will be.
    fn begin(&mut self, Logged { message, at, record, .. }: &Logged<'_>) -> io::Result<usize> {
        let mut line = self.line.borrow_mut();
        line.clear();
        line.extend_from_slice(br#"{"@timestamp":""#);
        self.dial.write(*at, &mut line);
        line.extend_from_slice(br#"","log.level":""#);
        line.extend_from_slice(level_name(record.level()).as_bytes());
        line.extend_from_slice(br#"","message":"#);
        serde_json::to_writer(&mut *line, message)?;
        line.extend_from_slice(VERSION_AND_LOGGER.as_bytes());
        serde_json::to_writer(&mut *line, logger_name(record))?;
        Ok(line.len())
    }
}

/// Keeps the text of a moment up to its second, which most lines share with the line before.
#[derive(Default)]
struct Dial {
    second: Option<u64>,
    /// By RFC 3339, up to the dot before the fraction.
    text: String,
}

impl Dial {
    /// Writes a moment by RFC 3339 in UTC, in nanoseconds.
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
    hex::write(id, &mut line[at..]);
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
    fn a_moment_is_written_as_by_humantime_whatever_came_before() {
        let mut dial = Dial::default();
        let mut written = |at| {
            let mut written = Vec::new();
            dial.write(at, &mut written);
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
