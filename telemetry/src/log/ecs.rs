//! The shape of a log line: JSON by slog-json, names of the Elastic Common Schema.
//!
//! slog-json writes what people say: the message and the fields. The frame around it has nothing in it that would have
//! to be escaped, or is the same in all lines, and costs less when nobody looks for that byte by byte.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::rc::Rc;
use std::time::SystemTime;

use opentelemetry::trace::SpanContext;
use slog::{Drain, Level, OwnedKVList, PushFnValue, Record, o};

use super::{LogQueue, level_name, logger_name};
use crate::{Service, Settings, hex};

/// The version of the schema whose names are used.
const ECS_VERSION: &str = "9.4.0";

thread_local! {
    /// Taken away while it is in use: a value may log while it is formatted.
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

    /// Queues the line of what is logged at `now` within `span`.
    pub(super) fn log(
        &self,
        now: SystemTime,
        span: Option<&SpanContext>,
        record: &Record<'_>,
        values: &OwnedKVList,
    ) {
        // Nobody has it while the thread ends.
        let formatter = FORMATTER.try_with(Cell::take).ok().flatten().unwrap_or_else(Formatter::new);
        match formatter.format(now, span, record, values) {
            Ok(()) => {
                let mut line = formatter.line.borrow_mut();
                line.extend_from_slice(&self.end);
                self.queue.push(&line);
            }
            // The buffer takes every byte, so it was a value that could not be serialised.
            Err(_) => self.queue.give_up(),
        }
        let _ = FORMATTER.try_with(|place| place.set(Some(formatter)));
    }
}

struct Formatter {
    json: slog_json::Json<Line>,
    line: Rc<RefCell<Vec<u8>>>,
}

impl Formatter {
    fn new() -> Self {
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

    /// Writes a line up to its end.
    fn format(
        &self,
        now: SystemTime,
        span: Option<&SpanContext>,
        record: &Record<'_>,
        values: &OwnedKVList,
    ) -> io::Result<()> {
        let begun = self.begin(now, record.level())?;
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
    fn begin(&self, now: SystemTime, level: Level) -> io::Result<usize> {
        let mut line = self.line.borrow_mut();
        line.clear();
        let now = humantime::format_rfc3339_nanos(now.max(SystemTime::UNIX_EPOCH));
        write!(line, r#"{{"@timestamp":"{now}","log.level":"{}""#, level_name(level))?;
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
