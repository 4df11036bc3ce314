//! `trials compare`: the same orders through one stack after the other, each started anew and without data: how long it
//! takes to be ready, what it weighs, how soon it shows an order, and how fast it answers.

mod footprint;
mod report;
mod subject;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use self::{report::Row, subject::Subject};
use stacks::{
    backends::Series,
    progress::Progress,
    prove,
    settings::Options,
    stack::{Backends, Stack},
};

/// Questions of each sort that a stack is asked; the median counts.
const QUESTIONS: usize = 21;
/// How long the evidence of all orders may take to arrive.
const WITHIN: Duration = Duration::from_secs(180);
const COUNTER: Series = Series { service: "order-gateway", name: "orders_created_total", labels: &[] };

/// What ends a Docker stack, with its data, whose measurement was interrupted.
pub const CLEAN_UP: &str = "docker compose --project-name omnitrace-compare down --volumes";

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareWanted {
    /// This stack; can be given several times [default: all]
    #[arg(long = "stack", value_name = "STACK")]
    pub stacks: Vec<Stack>,
    /// Orders through each
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub orders: u32,
    /// Orders each second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub rate: u32,
    /// Where to write the picture and the table
    #[arg(long, default_value = "docs", value_name = "DIR")]
    pub docs: PathBuf,
}

/// Measures each stack that can be had here, and writes down what they come to.
pub async fn run(options: &Options, wanted: &CompareWanted) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let kinds = if wanted.stacks.is_empty() { Stack::all().collect() } else { wanted.stacks.clone() };
    let (mut rows, mut left_out) = (Vec::new(), Vec::new());
    for kind in kinds {
        progress.note(&format!("\n{kind}"));
        match measure(options, wanted, kind, &mut progress).await {
            Ok(row) => rows.push(row),
            Err(error) => {
                progress.failed();
                progress.note(&format!("{kind} is left out: {error:#}"));
                // What failed is enough in the document; why was shown above.
                left_out.push((kind, error.to_string()));
            }
        }
    }
    ensure!(!rows.is_empty(), "no stack could be measured");
    let write = |name: &str, text: &str| {
        let file = wanted.docs.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    let document = report::document(&rows, &left_out, wanted)?;
    write("comparison.svg", &report::picture(&rows))?;
    write("comparison.md", &document)?;
    stacks::output::show(&report::table(&rows))
}

async fn measure(
    options: &Options,
    wanted: &CompareWanted,
    kind: Stack,
    progress: &mut Progress,
) -> Result<Row> {
    let mut subject = Subject::new(options, kind)?;
    let measured = measure_one(&mut subject, wanted, progress).await;
    let stopped = subject.stop(progress).await;
    let row = measured?;
    stopped?;
    Ok(row)
}

async fn measure_one(subject: &mut Subject, wanted: &CompareWanted, progress: &mut Progress) -> Result<Row> {
    let ready = subject.start(progress).await?;
    let backends = Backends::find(subject.options(), Some(subject.kind())).await?;
    let before = subject.footprint().await?;
    let (report, placed) = prove::through(&backends, (wanted.orders, wanted.rate), WITHIN, progress).await?;
    ensure!(report.is_whole(), "not everything arrived:\n{}", report.table(stacks::style::Style::PLAIN));
    let after = subject.footprint().await?;
    progress.begin("questions");
    let last = placed.last().context("no order was accepted")?;
    let trace = middle(async || backends.traces.trace(&last.trace_id).await.map(drop)).await?;
    let lines = middle(async || subject.lines(&backends, &last.trace_id).await).await?;
    let metric = middle(async || backends.metrics.total(&COUNTER).await.map(drop)).await?;
    progress.done(&format!("{QUESTIONS} of each sort"));
    Ok(Row {
        kind: subject.kind(),
        ready,
        before,
        after,
        visible: [prove::TRACE, prove::LINES, COUNTER.name].map(|name| report.p95(name).unwrap_or_default()),
        answers: [trace, lines, metric],
    })
}

/// The middle of how long an answer takes.
async fn middle(ask: impl AsyncFn() -> Result<()>) -> Result<Duration> {
    let mut took = Vec::with_capacity(QUESTIONS);
    for _ in 0..QUESTIONS {
        let asked = Instant::now();
        ask().await?;
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    Ok(took[QUESTIONS / 2])
}
