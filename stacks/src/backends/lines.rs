//! Log lines in full, found by the ids that people have.

use time::OffsetDateTime;

/// The lines to find. Ids are texts of letters, digits and dashes: callers check them, and queries quote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The lines that name an order.
    Order(String),
    /// The lines of these traces.
    Traces(Vec<String>),
    /// The lines that name an event, whose id is that of its message.
    Message(String),
    /// The lines after a time, of which some may be returned by two calls.
    Since(OffsetDateTime),
}

/// A question to a backend, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Query {
    /// Its language, such as `LogQL`; `shell` for a command.
    pub language: &'static str,
    /// Its text.
    pub text: String,
}

impl Query {
    /// A query in a language.
    pub(crate) fn new(language: &'static str, text: impl Into<String>) -> Self {
        Self { language, text: text.into() }
    }
}

/// Names of fields, which Loki stores with `_` for each dot.
const NAMES: [&str; 27] = [
    "alert.fingerprint",
    "alert.service",
    "alert.severity",
    "alert.summary",
    "cloudevents.event_type",
    "dead_letters.discarded",
    "dead_letters.replayed",
    "email.attempt",
    "email.retry_in_ms",
    "email.transport",
    "error.message",
    "event.duration",
    "http.request.method",
    "http.response.status_code",
    "http.route",
    "messaging.message.id",
    "messaging.queue",
    "omnitrace.actor",
    "omnitrace.event.duplicate",
    "order.id",
    "order.replayed",
    "payment.outcome",
    "payment.replayed",
    "rule.name",
    "span.id",
    "trace.id",
    "url.path",
];

/// The name of a field from its name in Loki.
pub(super) fn dotted(name: &str) -> &str {
    NAMES.into_iter().find(|dotted| dotted.replace('.', "_") == name).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_loki_gets_its_dots_back() {
        assert_eq!(dotted("http_response_status_code"), "http.response.status_code");
        assert_eq!(dotted("order_id"), "order.id");
        assert_eq!(dotted("severity_text"), "severity_text");
    }
}
