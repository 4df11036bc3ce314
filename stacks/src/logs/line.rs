//! A log line: ECS JSON, shown as one short line.

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{http::plain, style::Style};

/// Fields that are not shown, by prefix: they are the same in every line.
const HIDDEN: [&str; 7] =
    ["ecs.", "host.", "log.logger", "omnitrace.actor", "process.", "service.", "span.id"];

/// A line of a service's log.
#[derive(Clone, Debug)]
pub struct Line {
    /// The timestamp; none in a line that is not JSON, a panic for example.
    pub time: Option<OffsetDateTime>,
    /// The service.
    pub service: String,
    /// The message.
    pub message: String,
    /// The other fields, by ECS name.
    pub fields: Map<String, Value>,
}

impl Line {
    /// Reads a line; a line that is not JSON is a message without fields.
    pub(crate) fn parse(service: &str, text: &str) -> Self {
        let service = service.to_owned();
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Self { time: None, service, message: text.trim_end().to_owned(), fields: Map::new() };
        };
        let mut take = |key: &str| fields.remove(key).map(|value| plain(&value));
        let time = take("@timestamp").and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok());
        let message = take("message").unwrap_or_default();
        Self { time, service, message, fields }
    }

    /// The trace id.
    pub fn trace(&self) -> Option<&str> {
        self.text("trace.id")
    }

    /// The order id.
    pub fn order(&self) -> Option<&str> {
        self.text("order.id")
    }

    /// A field that is a text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    /// A field that is a number, also where a backend returns texts alone.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        let value = self.fields.get(key)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    }

    /// True if a field is `true`, also where a backend returns texts alone.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.fields.get(key).is_some_and(|value| plain(value) == "true")
    }

    /// `03:04:05.100 info  order-gateway    order accepted  amount=99.99`, with or without the ids of trace and order.
    pub(crate) fn human(&self, style: Style, with_ids: bool) -> String {
        let time = self.time.map_or_else(
            || " ".repeat(12),
            |time| {
                format!(
                    "{:02}:{:02}:{:02}.{:03}",
                    time.hour(),
                    time.minute(),
                    time.second(),
                    time.millisecond()
                )
            },
        );
        let level = self.text("log.level").unwrap_or_default().to_ascii_lowercase();
        let painted = match level.as_str() {
            "error" | "erro" | "critical" | "crit" | "warn" | "warning" => style.bad(&format!("{level:<5}")),
            _ => style.dim(&format!("{level:<5}")),
        };
        let service = style.service(&format!("{:<15}", self.service), &self.service);
        let mut text = format!("{} {painted} {service}  {}", style.dim(&time), self.message);
        let details: Vec<String> =
            self.fields.iter().filter(|(key, _)| self.is_shown(key, with_ids)).map(detail).collect();
        if !details.is_empty() {
            text.push_str(&style.dim(&format!("  {}", details.join(" "))));
        }
        text
    }

    fn is_shown(&self, key: &str, with_ids: bool) -> bool {
        match key {
            "log.level" => false,
            "trace.id" | "order.id" => with_ids,
            _ => !HIDDEN.iter().any(|hidden| key.starts_with(hidden)),
        }
    }
}

fn detail((key, value): (&String, &Value)) -> String {
    // ECS durations are in nanoseconds.
    if let ("event.duration", Some(took)) = (key.as_str(), value.as_u64()) {
        return format!("took={:.1}ms", took as f64 / 1e6);
    }
    let value = plain(value);
    let quoted = value.is_empty() || value.contains(char::is_whitespace);
    if quoted { format!("{key}={value:?}") } else { format!("{key}={value}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_with_its_own_fields() {
        let line = r#"{"@timestamp":"2026-01-02T03:04:05.1Z","log.level":"info","message":"order accepted",
            "service.name":"order-gateway","ecs.version":"8.11","trace.id":"aa","span.id":"bb","order.id":"o-1",
            "amount":"99.99","retries":2,"note":"two words"}"#;
        let line = Line::parse("order-gateway", line);
        assert_eq!(
            line.human(Style::PLAIN, false),
            r#"03:04:05.100 info  order-gateway    order accepted  amount=99.99 note="two words" retries=2"#
        );
        assert!(line.human(Style::PLAIN, true).ends_with(r#"order.id=o-1 retries=2 trace.id=aa"#));
    }

    #[test]
    fn a_line_that_is_not_json_is_a_message() {
        let line = Line::parse("email-service", "thread 'main' panicked\n");
        assert_eq!(
            line.human(Style::PLAIN, true),
            "                   email-service    thread 'main' panicked"
        );
    }
}
