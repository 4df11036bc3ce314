//! Log lines in full, found by the ids that people have.

use time::OffsetDateTime;

use crate::registry::{FORM, Registry};

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

/// The name of a field from its name in Loki, which has `_` for each dot.
pub(super) fn dotted(name: &str) -> &str {
    let names = Registry::built_in().attributes.keys().map(String::as_str).chain(FORM);
    names.into_iter().find(|dotted| dotted.replace('.', "_") == name).unwrap_or(name)
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
