//! A message with the span it was sent in: actix mailboxes do not carry the current span.

use actix::Message;
use tracing::Span;

/// `M`, with the span that was current when it was wrapped.
///
/// The handler works inside that span: `async { .. }.instrument(traced.span)`.
pub struct Traced<M> {
    /// The span of the sender.
    pub span: Span,
    /// The message itself.
    pub message: M,
}

impl<M> Traced<M> {
    /// Wraps `message` with the current span.
    pub fn new(message: M) -> Self {
        Self { span: Span::current(), message }
    }
}

impl<M: Message> Message for Traced<M> {
    type Result = M::Result;
}
