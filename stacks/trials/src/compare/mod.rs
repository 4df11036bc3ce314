//! `trials compare`: the same orders through one stack after the other, each started without data: its start, memory and
//! disk, and how fast it shows an order and answers a query.

mod args;
mod footprint;
mod queries;
mod report;
mod row;
mod subject;

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use stacks::{
    backends::Series,
    output::show,
    progress::Progress,
    prove,
    settings::Options,
    stack::{Backends, Stack},
    style::Style,
};

pub use self::args::CompareArgs;
use self::{
    queries::{QUERIES, median},
    row::Row,
    subject::Subject,
};

/// From the last order until all of its telemetry is found.
const WITHIN: Duration = Duration::from_secs(180);
const COUNTER: Series = Series { service: "order-gateway", name: "orders_created_total", labels: &[] };

/// The command that removes an interrupted Docker stack with its data.
pub const CLEAN_UP: &str = "docker compose --project-name omnitrace-compare down --volumes";

/// Measures each stack that can run here, and writes the results down.
///
/// # Errors
/// When no stack can be measured.
pub async fn run(options: &Options, args: &CompareArgs) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let stacks = if args.stacks.is_empty() { Stack::all().collect() } else { args.stacks.clone() };
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for stack in stacks {
        progress.note(&format!("\n{stack}"));
        match measure(options, args, stack, &mut progress).await {
            Ok(row) => rows.push(row),
            Err(error) => {
                progress.failed();
                progress.note(&format!("{stack} is left out: {error:#}"));
                // The document has the error without its causes.
                left_out.push((stack, error.to_string()));
            }
        }
    }
    ensure!(!rows.is_empty(), "no stack could be measured");
    let write = |name: &str, text: &str| {
        let file = args.docs.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    write("comparison.svg", &report::picture(&rows))?;
    write("comparison.md", &report::document(&rows, &left_out, args)?)?;
    show(&report::table(&rows))
}

async fn measure(
    options: &Options,
    args: &CompareArgs,
    stack: Stack,
    progress: &mut Progress,
) -> Result<Row> {
    let mut subject = Subject::new(options, stack)?;
    let measured = measure_running(&mut subject, args, progress).await;
    let stopped = subject.stop(progress).await;
    let row = measured?;
    stopped?;
    Ok(row)
}

async fn measure_running(subject: &mut Subject, args: &CompareArgs, progress: &mut Progress) -> Result<Row> {
    let ready = subject.start(progress).await?;
    let backends = Backends::find(subject.options(), Some(subject.stack())).await?;
    let before = subject.footprint().await?;
    let (report, placed) = prove::through(&backends, (args.orders, args.rate), WITHIN, progress).await?;
    ensure!(report.is_whole(), "not all telemetry arrived:\n{}", report.table(Style::PLAIN));
    let after = subject.footprint().await?;
    progress.begin("queries");
    let last = placed.last().context("no order was accepted")?;
    let trace = median(async || backends.traces.trace(&last.trace_id).await.map(drop)).await?;
    let lines = median(async || subject.lines(&backends, &last.trace_id).await).await?;
    let metric = median(async || backends.metrics.total(&COUNTER).await.map(drop)).await?;
    progress.done(&format!("{QUERIES} of each kind"));
    Ok(Row {
        stack: subject.stack(),
        ready,
        before,
        after,
        visible: [prove::TRACE, prove::LINES, COUNTER.name].map(|name| report.p95(name).unwrap_or_default()),
        answers: [trace, lines, metric],
    })
}
