//! Standard output: where results go. Progress goes to standard error.

use std::io::{IsTerminal as _, Write as _, stdout};

use anyhow::{Context as _, Result, bail};

/// Writes a result to standard output.
///
/// # Errors
/// When standard output is closed.
pub fn show(text: &str) -> Result<()> {
    stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// The columns of the terminal, if standard output is one.
pub(crate) fn terminal_width() -> Option<usize> {
    let stdout = stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten();
    size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Refuses to start anything while there are problems.
///
/// # Errors
/// Names all of them.
pub fn refuse(problems: &[String]) -> Result<()> {
    match problems {
        [] => Ok(()),
        [one] => bail!("cannot start: {one}"),
        many => bail!("cannot start: {} problems\n  {}", many.len(), many.join("\n  ")),
    }
}
