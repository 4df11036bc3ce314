//! The results of a comparison: a document with a table and the machine, and a picture.

use std::time::Duration;

use anyhow::{Context as _, Result};
use procfs::Current as _;
use stacks::{stack::Stack, style};
use time::OffsetDateTime;

use super::{args::CompareArgs, queries::QUERIES, row::Row};
use crate::bars::{Bar, Group, Scale, draw};

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

/// The table, in Markdown: a row for each number, a column for each stack.
pub(super) fn table(rows: &[Row]) -> String {
    let heads: String = rows.iter().map(|row| format!(" {} |", row.stack)).collect();
    let mut text = format!("| |{heads}\n|---|{}\n", "--:|".repeat(rows.len()));
    for measure in &MEASURES {
        let values: String =
            rows.iter().map(|row| format!(" {} |", (measure.show)((measure.of)(row)))).collect();
        text += &format!("| {} |{values}\n", measure.name);
    }
    text
}

/// The document, in Markdown.
pub(super) fn document(rows: &[Row], left_out: &[(Stack, String)], args: &CompareArgs) -> Result<String> {
    let mut text = format!(
        "# The stacks compared\n\nMade by `make compare` on {}: {} orders, {} each second, through one stack after the \
         other.\nEach was started without data, after everything was fetched and built.\n{}\n\n{}\n\
         ![The same numbers as bars](comparison.svg)\n\n\
         Memory and disk are those of the whole stack with the services. For containers it is the memory in \
         `docker stats`,\nfor processes the resident sets, which share pages. An order is visible when `make prove` finds \
         all of it.\nAnswers are medians of {} queries from this machine.\n",
        OffsetDateTime::now_utc().date(),
        args.orders,
        args.rate,
        machine()?,
        table(rows),
        QUERIES
    );
    if !left_out.is_empty() {
        text += "\nLeft out:\n\n";
        for (stack, reason) in left_out {
            text += &format!("- {stack}: {}\n", reason.lines().next().unwrap_or_default());
        }
    }
    Ok(text)
}

/// The machine of the comparison.
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

/// A group for each number, and in it a bar for each stack.
pub(super) fn picture(rows: &[Row]) -> String {
    let groups = MEASURES.iter().map(|measure| {
        let bars = rows.iter().map(|row| Bar {
            label: row.stack.to_string(),
            value: (measure.of)(row),
            text: (measure.show)((measure.of)(row)),
            colour: colour(row.stack),
        });
        Group { heading: measure.name.to_owned(), bars: bars.collect() }
    });
    draw(&groups.collect::<Vec<_>>(), Scale::OfGroup)
}

fn colour(stack: Stack) -> &'static str {
    match stack {
        Stack::Local => "#9aa5b1",
        Stack::Classic => "#2f6fde",
        Stack::Elk => "#d98e04",
        Stack::Lgtm => "#3a9d5d",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::footprint::Footprint;

    fn row(stack: Stack, seconds: u64) -> Row {
        let footprint = |mib: u64| Footprint { memory: mib << 20, disk: mib << 19 };
        Row {
            stack,
            ready: Duration::from_secs(seconds),
            before: footprint(100),
            after: footprint(150),
            visible: [1.25, 0.5, 4.0],
            answers: [2, 20, 200].map(Duration::from_millis),
        }
    }

    #[test]
    fn each_stack_has_a_column_and_a_bar_for_each_number() {
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
    fn the_document_names_the_machine_and_omitted_stacks() {
        let args = CompareArgs { stacks: Vec::new(), orders: 1000, rate: 20, docs: "docs".into() };
        let left_out = [(Stack::Elk, "Docker is not installed\nmore".to_owned())];
        let text = document(&[row(Stack::Local, 9)], &left_out, &args).unwrap();
        for part in
            ["1000 orders, 20 each second", "of memory; its load was", "- elk: Docker is not installed\n"]
        {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
    }
}
