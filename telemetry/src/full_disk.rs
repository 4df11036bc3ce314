//! Tests on a disk that is full.

use std::process::Command;

/// Runs an ignored test of this crate in a process whose files can't grow: a write ends halfway, and the next one fails.
pub(crate) fn pass_on_a_full_disk(test: &str) {
    let limited = r#"trap '' XFSZ; ulimit -f 2; exec "$0" --ignored --exact "$1""#;
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh").args(["-c", limited]).arg(program).arg(test).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
