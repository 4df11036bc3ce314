//! The times of the drills as a table.

use std::time::Duration;

use super::catalogue::Alert;
use crate::style::Style;

/// A drill that went as it should.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) alert: Alert,
    /// From the fault until the notice.
    pub(super) delivered: Duration,
    /// From the end of the fault until the word that it is over.
    pub(super) resolved: Duration,
}

/// One row for each drill; nothing where there was none.
pub(super) fn table(rows: &[Row], style: Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = format!("\n{:24}  {:>9}  {:>8}  cause", "alert", "delivered", "resolved");
    let mut text = style.dim(&head) + "\n";
    for Row { alert, delivered, resolved } in rows {
        let (delivered, resolved) = (delivered.as_secs_f64(), resolved.as_secs_f64());
        text += &format!("{alert:24}  {delivered:>7.1} s  {resolved:>6.1} s  {}\n", alert.cause());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_drill_is_a_row_with_its_seconds() {
        let row = Row {
            alert: Alert::ServiceDown,
            delivered: Duration::from_millis(12_340),
            resolved: Duration::from_secs(7),
        };
        let shown = table(&[row], Style::PLAIN);
        assert_eq!(
            shown.lines().last().unwrap(),
            "ServiceDown                  12.3 s     7.0 s  the mailer is stopped"
        );
    }
}
