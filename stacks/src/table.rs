//! Tables on a terminal: columns as wide as their widest cell.

use std::fmt::Display;

use crate::style::Style;

/// A cell, painted once its width is known.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    paint: fn(Style, &str) -> String,
}

impl Cell {
    /// A cell in the terminal's own colour.
    pub fn plain(text: impl Display) -> Self {
        Self { text: text.to_string(), paint: |_, text| text.to_owned() }
    }

    /// A cell about something less important.
    pub fn dim(text: impl Display) -> Self {
        Self { paint: Style::dim, ..Self::plain(text) }
    }

    /// A cell about something that works.
    pub fn good(text: impl Display) -> Self {
        Self { paint: Style::good, ..Self::plain(text) }
    }

    /// A cell about something that does not work.
    pub fn bad(text: impl Display) -> Self {
        Self { paint: Style::bad, ..Self::plain(text) }
    }
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    style: Style,
    columns: Vec<&'static str>,
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
enum Line {
    Row(Vec<Cell>),
    /// A line below a row that belongs to no column but the first.
    Note(Cell),
}

impl Table {
    /// A table with these headings; a leading `>` aligns a column to the right, for numbers.
    pub fn new(style: Style, columns: &[&'static str]) -> Self {
        Self { style, columns: columns.to_vec(), lines: Vec::new() }
    }

    /// Adds a row; columns that it has no cell for stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.lines.push(Line::Row(cells.into_iter().collect()));
    }

    /// Adds a line below the last row, from the second column on.
    pub fn note(&mut self, note: Cell) {
        self.lines.push(Line::Note(note));
    }

    /// The lines of the table.
    pub fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width(column)).collect();
        let headings: Vec<Cell> = self.columns.iter().map(|heading| Cell::plain(text_of(heading))).collect();
        let mut text = self.style.dim(&self.draw(&headings, &widths)) + "\n";
        for line in &self.lines {
            text += &match line {
                Line::Row(cells) => self.draw(cells, &widths),
                Line::Note(note) => {
                    let indent = widths.first().map_or(0, |width| width + 2);
                    format!("{:indent$}{}", "", (note.paint)(self.style, &note.text))
                }
            };
            text.push('\n');
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.lines.iter().filter_map(|line| match line {
            Line::Row(cells) => cells.get(column).map(|cell| cell.text.as_str()),
            Line::Note(_) => None,
        });
        let widths = cells.chain([text_of(self.columns[column])]).map(|text| text.chars().count());
        widths.max().unwrap_or_default()
    }

    fn draw(&self, cells: &[Cell], widths: &[usize]) -> String {
        let last = cells.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        let columns = cells[..last].iter().zip(&self.columns).zip(widths).enumerate();
        let drawn = columns.map(|(index, ((cell, heading), width))| {
            let padded = match heading.starts_with('>') {
                true => format!("{:>width$}", cell.text),
                // Nothing follows: no blanks at the end of the line.
                false if index + 1 == last => cell.text.clone(),
                false => format!("{:width$}", cell.text),
            };
            (cell.paint)(self.style, &padded)
        });
        drawn.collect::<Vec<_>>().join("  ")
    }
}

fn text_of(heading: &str) -> &str {
    heading.trim_start_matches('>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(Style::PLAIN, &["name", ">count", "reason"]);
        table.row([Cell::good("gateway"), Cell::plain(1_000_000), Cell::plain("busy")]);
        table.row([Cell::bad("db"), Cell::plain(7), Cell::plain("")]);
        table.note(Cell::bad("locked"));
        let expected =
            "name       count  reason\ngateway  1000000  busy\ndb             7\n         locked\n";
        assert_eq!(table.text(), expected);
    }
}
