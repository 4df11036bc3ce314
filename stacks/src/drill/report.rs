//! The table of delivery times.

use std::time::Duration;

use super::catalogue::Alert;
use crate::{
    style::Style,
    table::{Cell, Table},
};

/// A drill that went as expected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) alert: Alert,
    /// From the fault until the firing notice.
    pub(super) delivered: Duration,
    /// From the repair until the resolved notice.
    pub(super) resolved: Duration,
}

/// One row for each drill; empty without drills.
pub(super) fn table(rows: &[Row], style: Style) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(style, &["alert", ">delivered", ">resolved", "cause"]);
    let seconds = |duration: Duration| Cell::plain(format!("{:.1} s", duration.as_secs_f64()));
    for Row { alert, delivered, resolved } in rows {
        table.row([Cell::plain(alert), seconds(*delivered), seconds(*resolved), Cell::plain(alert.cause())]);
    }
    format!("\n{}", table.text())
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
        assert_eq!(shown.lines().last().unwrap(), "ServiceDown     12.3 s     7.0 s  the mailer is stopped");
    }
}
