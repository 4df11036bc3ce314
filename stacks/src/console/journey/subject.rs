//! The id that a person has: of an order, a trace or an e-mail.

use anyhow::{Result, bail};
use uuid::Uuid;

use crate::backends::lines::Which;

/// What a journey is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::console) enum Subject {
    Order(String),
    Trace(String),
    /// The id of an event: the part of its e-mail's Message-ID before the `@`.
    Message(String),
}

impl Subject {
    /// Reads an id in any of its forms.
    ///
    /// # Errors
    /// Says which forms there are.
    pub(in crate::console) fn parse(text: &str) -> Result<Self> {
        let text = text.trim().trim_start_matches("Message-ID:").trim().trim_matches(['<', '>']);
        let id = text.to_ascii_lowercase();
        if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Self::Trace(id));
        }
        if let Some((event, _)) = id.split_once('@')
            && let Ok(event) = Uuid::parse_str(event)
        {
            return Ok(Self::Message(event.to_string()));
        }
        match Uuid::parse_str(&id) {
            Ok(order) => Ok(Self::Order(order.to_string())),
            Err(_) => bail!("this is no id of an order, a trace or an e-mail"),
        }
    }

    pub(super) fn which(&self) -> Which {
        match self {
            Self::Order(id) => Which::Order(id.clone()),
            Self::Trace(id) => Which::Traces(vec![id.clone()]),
            Self::Message(id) => Which::Message(id.clone()),
        }
    }

    pub(super) fn order(&self) -> Option<String> {
        if let Self::Order(id) = self { Some(id.clone()) } else { None }
    }

    pub(super) fn trace(&self) -> Option<String> {
        if let Self::Trace(id) = self { Some(id.clone()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart_by_their_form() {
        let uuid = "01890000-0000-7000-8000-000000000002";
        assert_eq!(Subject::parse(&format!(" {uuid}\n")).unwrap(), Subject::Order(uuid.into()));
        assert_eq!(Subject::parse(&"AB".repeat(16)).unwrap(), Subject::Trace("ab".repeat(16)));
        for message in [format!("<{uuid}@omnitrace.example>"), format!("Message-ID: <{uuid}@a>")] {
            assert_eq!(Subject::parse(&message).unwrap(), Subject::Message(uuid.into()));
        }
        for bad in ["", "o-1", "ada@example.com", "\" | x", &"a".repeat(31)] {
            assert!(Subject::parse(bad).is_err(), "{bad}");
        }
    }
}
