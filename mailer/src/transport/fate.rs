//! Where an e-mail is after an attempt that failed.

use store::StoreError;

/// The fate of an e-mail after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No mail server has it; another attempt may succeed.
    NotTaken,
    /// No mail server has it, and another attempt would end the same way.
    Refused,
    /// The mail server may have it or not.
    Uncertain,
}

/// Why it was not recorded that an e-mail is about to be sent.
#[derive(Debug, thiserror::Error)]
pub enum NotMarked {
    /// The inbox can't be written.
    #[error("the inbox can't be written")]
    Store(#[from] StoreError),
    /// The claim on the event has run out, and another replica has claimed it.
    #[error("the event was claimed by another replica")]
    Lost,
}
