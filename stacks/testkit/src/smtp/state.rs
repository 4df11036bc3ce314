//! What the fake mail server does with e-mails, and what it has received.

use std::time::{Duration, Instant};

/// An e-mail with its envelope.
#[derive(Clone, Debug)]
pub struct Received {
    /// The sender in the envelope.
    pub from: String,
    /// The recipients in the envelope.
    pub to: Vec<String>,
    /// Headers and body, as received.
    pub text: String,
    /// The time of the last byte.
    pub at: Instant,
}

/// What the server does with an e-mail. A recipient that is refused or left without a reply offers no e-mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Accepts it.
    Accept,
    /// Accepts it, and waits this long before the reply to the content.
    AcceptAfter(Duration),
    /// Accepts it, and closes the connection in place of the reply.
    AcceptAndClose,
    /// Accepts it, and never replies.
    AcceptAndHang,
    /// Discards it, and closes the connection in place of the reply.
    DiscardAndClose,
    /// Gives this reply to the content, and discards it.
    Refuse(&'static str),
    /// Gives this reply to the recipient.
    RefuseRecipient(&'static str),
    /// Never replies to the recipient.
    HangAtRecipient,
}

/// The state of the whole server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Serves; every n-th e-mail meets the behavior, the others are accepted.
    Up(Behavior, usize),
    /// Waits this long before each reply, and accepts.
    Slow(Duration),
    /// Gives no reply until the state changes.
    Stalled,
    /// Gives this reply to each sender.
    RefusesSenders(&'static str),
    /// Says 421 and closes the connection at every n-th sender.
    Closes(usize),
    /// Closes the connection after each accepted e-mail.
    OneEach,
    /// Knows no EHLO.
    HeloOnly,
    /// Does not listen; open connections break.
    Down,
}
