//! The meaning of a reply of a mail server: for this e-mail, or for the session and the sender.

use std::error::Error as _;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;

/// Characters of a text of the server in an error.
const MAX_TEXT: usize = 300;

/// The step of a transaction that got a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `MAIL`: the session and the sender, which all e-mails share.
    Sender,
    /// `RCPT` and `DATA`.
    Recipient,
    /// The content.
    Content,
}

/// True if a reply of 5xx would be the same later: it concerns the e-mail. One that concerns the session or the sender
/// may be due to a setting of the server and change (RFC 4954 section 6, RFC 3463 section 3.8).
pub(super) fn is_final(step: Step, error: &Error) -> bool {
    // 503: bad sequence; the others ask for a login or refuse one.
    let is_of_session = matches!(error.status().map(u16::from), Some(503 | 530 | 534 | 535 | 538));
    match step {
        Step::Sender => false,
        Step::Recipient => !is_of_session && !is_policy(error),
        Step::Content => !is_of_session,
    }
}

/// True for an enhanced status code 5.7.x of RFC 3463: security or policy.
fn is_policy(error: &Error) -> bool {
    error.source().is_some_and(|text| text.to_string().starts_with("5.7."))
}

/// A text of the server on one line, without addresses, which servers repeat, whole or up to the @, and without control
/// characters, which PostgreSQL and terminals do not take.
pub(super) fn redacted(text: &str, envelope: &Envelope) -> String {
    let is_private = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.contains('@') || envelope.to().iter().any(|to| bare.eq_ignore_ascii_case(to.user()))
    };
    let words = text.split_whitespace().map(|word| if is_private(word) { "[redacted]" } else { word });
    let text = words.collect::<Vec<_>>().join(" ").replace(char::is_control, "\u{fffd}");
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_in_a_reply_are_replaced() {
        let envelope = Envelope::new(None, vec!["ada@example.org".parse().unwrap()]).unwrap();
        let text = redacted("no\0such\u{1b}[31m user \u{7f} ada\r\nbye", &envelope);
        assert_eq!(text, "no\u{fffd}such\u{fffd}[31m user \u{fffd} [redacted] bye");
    }
}
