//! Lines of text in place of JSON, for a stdout that is a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Map, Value};

/// Writes each line of JSON as time, level, message and the fields that differ between lines.
pub(super) struct Terminal<W>(pub(super) W);

impl<W: Write> Write for Terminal<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut text = String::new();
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(fields) => describe(&mut text, &fields),
                Err(_) => text += &String::from_utf8_lossy(line),
            }
            text.push('\n');
        }
        self.0.write_all(text.as_bytes())?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn describe(text: &mut String, fields: &Map<String, Value>) {
    let field = |name| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let time = field("@timestamp").split_once('T').map_or("", |(_, time)| time);
    let time = time.get(..12).unwrap_or(time);
    // Writing to a String does not fail.
    let _ = write!(text, "{time} {:<8} {}", field("log.level").to_uppercase(), harmless(field("message")));
    for (name, value) in fields.iter().filter(|(name, _)| !is_constant(name)) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let _ = write!(text, "  {}={}", harmless(name), harmless(&value));
    }
}

fn is_constant(name: &str) -> bool {
    matches!(name, "@timestamp" | "log.level" | "message" | "ecs.version" | "span.id")
        || name.starts_with("service.")
}

/// Without it the input of a client could steer the terminal by control codes.
fn harmless(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_text_cannot_steer_the_terminal() {
        let mut terminal = Terminal(Vec::new());
        let line = r#"{"@timestamp":"2026-11-24T21:30:45.123456789Z","log.level":"warn","message":"a \u001b[2J",
            "ecs.version":"9","service.name":"s","order.id":"o-1","count":3}"#;
        terminal.write_all(line.replace('\n', "").as_bytes()).unwrap();
        terminal.write_all(b"\nnot JSON\n").unwrap();
        let text = String::from_utf8(terminal.0).unwrap();
        assert_eq!(text, "21:30:45.123 WARN     a \u{fffd}[2J  count=3  order.id=o-1\nnot JSON\n");
    }
}
