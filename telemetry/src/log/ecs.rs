//! The shape of a log line: JSON by slog-json, names of the Elastic Common Schema.
//!
//! slog-json writes what people say: the message and the fields. The frame around it has nothing in it that would have
//! to be escaped, or is the same in all lines, and costs less when nobody looks for that byte by byte.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::SystemTime;

use slog::{Drain, Level, PushFnValue, o};

use super::{LogQueue, Logged, level_name, logger_name};
use crate::{Service, Settings, hex, scratch};

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "9.4.0";

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
    json: slog_json::Json<Line>,
    line: Rc<RefCell<Vec<u8>>>,
}

impl Default for Formatter {
    fn default() -> Self {
        let line = Rc::new(RefCell::new(Vec::new()));
        // Written in the order of these calls.
        let json = slog_json::Json::new(Line(line.clone()))
            .add_key_value(o!("message" => PushFnValue(|record, to| match record.msg().as_str() {
                Some(text) => to.emit(text),
                None => to.emit(record.msg()),
            })))
            .add_key_value(o!("ecs.version" => ECS_VERSION))
            .add_key_value(o!("log.logger" => PushFnValue(|record, to| to.emit(logger_name(record)))))
            .set_newlines(false)
            .build();
        Self { json, line }
    }
}

impl Formatter {
    /// Writes a line up to its end.
    fn format(&self, Logged { at, span, record, values }: &Logged<'_>) -> io::Result<()> {
        let begun = self.begin(*at, record.level())?;
        self.json.log(record, values)?;
        let mut line = self.line.borrow_mut();
        // The braces of what slog-json has written.
        line[begun] = b',';
        line.pop();
        if let Some(span) = span {
            for (name, id) in
                [("span.id", &span.span_id().to_bytes()[..]), ("trace.id", &span.trace_id().to_bytes())]
            {
                write_id(&mut line, name, id);
            }
        }
        Ok(())
    }

    /// Time, level and message lead every line, as ecs-logging asks. Answers where the message will be.
    fn begin(&self, at: SystemTime, level: Level) -> io::Result<usize> {
        let mut line = self.line.borrow_mut();
        line.clear();
        let at = humantime::format_rfc3339_nanos(at.max(SystemTime::UNIX_EPOCH));
        write!(line, r#"{{"@timestamp":"{at}","log.level":"{}""#, level_name(level))?;
        Ok(line.len())
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
