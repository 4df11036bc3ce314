//! The failed attempts to send an e-mail, as its row keeps them. An e-mail that is sent at once has none.

use serde::{Deserialize, Serialize};
use store::StoreError;

use super::rows;

/// The newest attempts that are kept: a server that is away for a day sees some hundred.
const MAX_ATTEMPTS: usize = 20;

/// The newest failed attempts, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct History(pub(super) Vec<Attempt>);

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// When its outcome was recorded, in milliseconds since the Unix epoch.
    pub(super) at: i64,
    /// The answer of the mail server, or why there was none.
    pub(super) answer: String,
}

impl History {
    /// Decodes a column; none where another program has written it.
    pub(super) fn read(column: Option<&str>) -> Self {
        column.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
    }

    /// The column after one attempt more.
    pub(super) fn and(mut self, at: i64, answer: &str) -> Result<String, StoreError> {
        self.0.push(Attempt { at, answer: answer.to_owned() });
        let surplus = self.0.len().saturating_sub(MAX_ATTEMPTS);
        self.0.drain(..surplus);
        serde_json::to_string(&self).map_err(rows::undecodable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_attempts_are_kept_in_order() {
        let mut column = None;
        for at in 0..25 {
            column = Some(History::read(column.as_deref()).and(at, "451 later").unwrap());
        }
        let History(attempts) = History::read(column.as_deref());
        assert_eq!(
            attempts.iter().map(|attempt| attempt.at).collect::<Vec<_>>(),
            (5..25).collect::<Vec<_>>()
        );
        assert_eq!(History::read(Some("no JSON")), History::default());
    }
}
