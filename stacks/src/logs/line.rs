//! One log line: ECS JSON in, one short line for people out.

use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{http::plain, style::Style};

/// What every line repeats and nobody reads; the rest of the fields is shown.
const NOISE: [&str; 7] = ["actor", "ecs.", "host.", "log.logger", "process.", "service.", "span.id"];

/// A line of a service's log.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was written; none for what is no log line of ours, a panic for example.
    pub time: Option<OffsetDateTime>,
    /// Who wrote it.
    pub service: &'static str,
    /// What it says.
    pub message: String,
    /// Everything else, by ECS name.
    pub fields: Map<String, Value>,
}

impl Line {
    /// Reads a line; what is not JSON is all message.
    pub fn parse(service: &'static str, text: &str) -> Self {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Self { time: None, service, message: text.trim_end().to_owned(), fields: Map::new() };
        };
        let mut take = |key: &str| fields.remove(key).map(|value| plain(&value));
        let time = take("@timestamp").and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok());
        let message = take("message").unwrap_or_default();
        Self { time, service, message, fields }
    }

    /// The trace it belongs to.
    pub fn trace(&self) -> Option<&str> {
        self.text("trace.id")
    }

    /// The order it is about.
    pub fn order(&self) -> Option<&str> {
        self.text("order.id")
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    /// `03:04:05.100 info  order-gateway    order accepted  amount=99.99`. The ids are left out when
    /// all lines share them.
    pub fn human(&self, style: Style, with_ids: bool) -> String {
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
        let service = style.service(&format!("{:<15}", self.service), self.service);
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
            _ => !NOISE.iter().any(|noise| key.starts_with(noise)),
        }
    }
}

fn detail((key, value): (&String, &Value)) -> String {
    // ECS counts durations in nanoseconds.
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
    fn a_line_is_short_and_keeps_what_matters() {
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
    fn what_is_not_json_is_shown_as_it_is() {
        let line = Line::parse("email-service", "thread 'main' panicked\n");
        assert_eq!(
            line.human(Style::PLAIN, true),
            "                   email-service    thread 'main' panicked"
        );
    }
}
