//! What values say of themselves.

use std::cell::Cell;
use std::fmt::{self, Write};

use crate::scratch;

thread_local! {
    static SAID: Cell<Option<String>> = const { Cell::new(None) };
}

/// Hands on what `value` says. One that fails has said what it had said by then: no reason to stop whoever asks.
pub(crate) fn with<T>(value: fmt::Arguments<'_>, then: impl FnOnce(&str) -> T) -> T {
    match value.as_str() {
        Some(text) => then(text),
        None => scratch::lend(&SAID, |said| {
            said.clear();
            let _ = said.write_fmt(value);
            then(said)
        }),
    }
}
