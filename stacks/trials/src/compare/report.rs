//! What a comparison comes to: a document with a table, the machine, and a picture.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use procfs::Current as _;
use time::OffsetDateTime;

use super::{CompareWanted, footprint::Footprint};
use stacks::{stack::Stack, style};

/// What was measured of one stack.
pub(super) struct Row {
    pub(super) kind: Stack,
    /// Until everything of it could be used.
    pub(super) ready: Duration,
    pub(super) before: Footprint,
    /// After the orders.
    pub(super) after: Footprint,
    /// Seconds from the answer to an order until its trace and its lines could be found, p95, and from the last order
    /// until the counters were right.
    pub(super) visible: [f64; 3],
    /// For a trace, the lines of a trace, and a counter.
    pub(super) answers: [Duration; 3],
}

/// One number of each stack.
struct Measure {
    name: &'static str,
    of: fn(&Row) -> f64,
    show: fn(f64) -> String,
}

const MEASURES: [Measure; 11] = [
    Measure { name: "ready after", of: |row| row.ready.as_secs_f64(), show: seconds },
    Measure { name: "memory at first", of: |row| row.before.memory as f64, show: mib },
    Measure { name: "memory after the orders", of: |row| row.after.memory as f64, show: mib },
    Measure { name: "disk at first", of: |row| row.before.disk as f64, show: mib },
    Measure { name: "disk after the orders", of: |row| row.after.disk as f64, show: mib },
    Measure { name: "order to whole trace, p95", of: |row| row.visible[0], show: seconds },
    Measure { name: "order to log lines, p95", of: |row| row.visible[1], show: seconds },
    Measure { name: "last order to counters", of: |row| row.visible[2], show: seconds },
    Measure { name: "a trace by its id", of: |row| row.answers[0].as_secs_f64(), show: brief },
    Measure { name: "the log lines of a trace", of: |row| row.answers[1].as_secs_f64(), show: brief },
    Measure { name: "the sum of a counter", of: |row| row.answers[2].as_secs_f64(), show: brief },
];

fn seconds(seconds: f64) -> String {
    format!("{seconds:.1} s")
}

fn brief(seconds: f64) -> String {
    style::duration(Duration::from_secs_f64(seconds))
}

fn mib(bytes: f64) -> String {
    format!("{:.0} MiB", bytes / f64::from(1 << 20))
}

/// The table, in Markdown: a line for each number, a column for each stack.
pub(super) fn table(rows: &[Row]) -> String {
    let heads: String = rows.iter().map(|row| format!(" {} |", row.kind)).collect();
    let mut text = format!("| |{heads}\n|---|{}\n", "--:|".repeat(rows.len()));
    for measure in &MEASURES {
        let values: String =
            rows.iter().map(|row| format!(" {} |", (measure.show)((measure.of)(row)))).collect();
        text += &format!("| {} |{values}\n", measure.name);
    }
    text
}

/// What was compared, how, on what, and what it came to.
pub(super) fn document(rows: &[Row], left_out: &[(Stack, String)], wanted: &CompareWanted) -> Result<String> {
    let mut text = format!(
        "# The stacks compared\n\nMade by `make compare` on {}: {} orders, {} each second, through one stack after the \
         other, each started anew and without data, everything fetched and built before. {}\n\n{}\n\
         ![The same numbers as bars](comparison.svg)\n\n\
         Memory and disk are those of the whole stack, the checkout included: of containers what `docker stats` tells, of \
         processes their resident sets, of which they share some. An order is visible when `make prove` finds all of it. \
         Answers are medians of {} questions, each asked from this machine.\n",
        OffsetDateTime::now_utc().date(),
        wanted.orders,
        wanted.rate,
        machine()?,
        table(rows),
        super::QUESTIONS
    );
    if !left_out.is_empty() {
        text += "\nLeft out:\n\n";
        for (kind, reason) in left_out {
            text += &format!("- {kind}: {}\n", reason.lines().next().unwrap_or_default());
        }
    }
    Ok(text)
}

/// What it ran on.
fn machine() -> Result<String> {
    let cpus = procfs::CpuInfo::current().context("cannot read /proc/cpuinfo")?;
    let memory = procfs::Meminfo::current().context("cannot read /proc/meminfo")?;
    let load = procfs::LoadAverage::current().context("cannot read /proc/loadavg")?;
    let model = cpus.model_name(0).unwrap_or("unknown processors");
    let (count, memory) = (cpus.num_cores(), style::size(memory.mem_total));
    Ok(format!(
        "The machine: {count} x {model}, {memory} of memory; its load was {:.1} at the end.",
        load.one
    ))
}

/// A block for each number, and in it a bar for each stack.
pub(super) fn picture(rows: &[Row]) -> String {
    const WIDTH: f64 = 720.0;
    const BAR: f64 = 18.0;
    const LEFT: f64 = 90.0;
    let block = 30.0 + rows.len() as f64 * BAR;
    let height = 10.0 + MEASURES.len() as f64 * block;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (index, measure) in MEASURES.iter().enumerate() {
        let top = 10.0 + index as f64 * block;
        let most = rows.iter().map(measure.of).fold(f64::MIN_POSITIVE, f64::max);
        // Writing to a String can't fail.
        let _ = writeln!(
            svg,
            "<text x=\"10\" y=\"{:.0}\" font-weight=\"bold\">{}</text>",
            top + 14.0,
            measure.name
        );
        for (row, bar) in rows.iter().zip(0_u32..) {
            let (value, y) = ((measure.of)(row), top + 20.0 + f64::from(bar) * BAR);
            let width = (value / most * (WIDTH - LEFT - 110.0)).max(1.0);
            let _ = writeln!(
                svg,
                "<text x=\"20\" y=\"{:.0}\">{}</text><rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{width:.1}\" \
                 height=\"{:.0}\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.0}\">{}</text>",
                y + 12.0,
                row.kind,
                BAR - 4.0,
                colour(row.kind),
                LEFT + width + 8.0,
                y + 12.0,
                (measure.show)(value)
            );
        }
    }
    svg + "</svg>\n"
}

fn colour(kind: Stack) -> &'static str {
    match kind {
        Stack::Local => "#9aa5b1",
        Stack::Classic => "#2f6fde",
        Stack::Elk => "#d98e04",
        Stack::Lgtm => "#3a9d5d",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: Stack, seconds: u64) -> Row {
        let footprint = |mib: u64| Footprint { memory: mib << 20, disk: mib << 19 };
        Row {
            kind,
            ready: Duration::from_secs(seconds),
            before: footprint(100),
            after: footprint(150),
            visible: [1.25, 0.5, 4.0],
            answers: [2, 20, 200].map(Duration::from_millis),
        }
    }

    #[test]
    fn every_stack_has_a_column_and_every_number_a_bar_of_it() {
        let rows = [row(Stack::Local, 9), row(Stack::Lgtm, 42)];
        let table = table(&rows);
        assert!(
            table.starts_with("| | local | lgtm |\n|---|--:|--:|\n| ready after | 9.0 s | 42.0 s |\n"),
            "{table}"
        );
        assert!(table.contains("| disk after the orders | 75 MiB | 75 MiB |\n"), "{table}");
        assert!(table.ends_with("| the sum of a counter | 200 ms | 200 ms |\n"), "{table}");
        assert_eq!(picture(&rows).matches("<rect x=").count(), 2 * MEASURES.len());
    }

    #[test]
    fn the_document_names_the_machine_and_what_was_left_out() {
        let wanted = CompareWanted { stacks: Vec::new(), orders: 1000, rate: 20, docs: "docs".into() };
        let left_out = [(Stack::Elk, "Docker is not installed\nmore".to_owned())];
        let text = document(&[row(Stack::Local, 9)], &left_out, &wanted).unwrap();
        for part in
            ["1000 orders, 20 each second", "of memory; its load was", "- elk: Docker is not installed\n"]
        {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }
}
