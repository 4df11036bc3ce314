//! `trials bench`: what telemetry costs. The same three binaries with telemetry off and with everything on, one after
//! the other in one run, so that whatever else the machine does meets both.

mod load;
mod report;
mod trial;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use self::{
    report::Round,
    trial::{Measured, Place, VARIANTS},
};
use crate::broker::Broker;
use stacks::{
    progress::Progress,
    settings::{Options, bare},
};

/// How to measure, and where to write it.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchWanted {
    /// Pairs of trials; every other pair runs in the reverse order
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub rounds: u16,
    /// Seconds of load in each trial
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub seconds: u16,
    /// Where to write the rows
    #[arg(long, default_value = "target/bench.json", value_name = "FILE")]
    pub report: PathBuf,
    /// Where to write the picture and the table
    #[arg(long, default_value = "docs", value_name = "DIR")]
    pub docs: PathBuf,
}

/// Measures, shows the table, and writes it down.
pub async fn run(options: &Options, wanted: &BenchWanted) -> Result<()> {
    let dir = tempdir()?;
    let measured = measure(options, wanted, &dir).await;
    fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    let rounds = measured?;
    let (fewest, most) = report::spread(&rounds);
    let summary = format!(
        "{}\nThroughput on / off: {:.2}. CPU that telemetry adds to an order: {:.0} µs, {:.0} % of what it takes without. \
         Both are medians over the pairs: without telemetry the trials reached {fewest:.0} to {most:.0} orders/s, and a wide \
         range means that the machine was not quiet.\n",
        report::table(&rounds),
        report::ratio(&rounds),
        report::added_us(&rounds),
        report::added_share(&rounds) * 100.0
    );
    std::io::stdout().lock().write_all(summary.as_bytes()).context("cannot write to standard output")?;
    report::write(&rounds, &wanted.report)?;
    let write = |name: &str, text: &str| {
        let file = wanted.docs.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    write("bench.svg", &report::picture(&rounds))?;
    write("bench.md", &document(wanted, &summary))
}

fn document(wanted: &BenchWanted, summary: &str) -> String {
    format!(
        "# What telemetry costs\n\nMade by `make bench`: {} pairs of trials of {} s each, 64 clients that order as fast as they \
         are answered, no simulated delays, the stores durable as shipped, every trace sampled, log lines to a file and over \
         OTLP, spans over OTLP to a receiver that only counts. Ready is a service at its first good `/readyz`, with new databases; \
         of the three the slowest counts. Medians; losses are sums.\n\n{summary}\n\
         ![Orders per second of each trial](bench.svg)\n",
        wanted.rounds, wanted.seconds
    )
}

async fn measure(options: &Options, wanted: &BenchWanted, dir: &Path) -> Result<Vec<Round>> {
    let mut progress = Progress::for_terminal();
    progress.begin("RabbitMQ");
    let broker = Broker::start().await?;
    progress.done("a node of its own");
    let mut environment = bare(&options.env);
    environment.insert("AMQP_URL".to_owned(), broker.node.amqp_url());
    let place = Place { dir, binaries: options.binaries.clone(), environment };
    let mut rounds = Vec::new();
    for round in 0..wanted.rounds {
        let mut measured: [Option<Measured>; 2] = [None, None];
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            let variant = &VARIANTS[index];
            progress.begin(&format!("round {} of {}, telemetry {}", round + 1, wanted.rounds, variant.name));
            let trial = place.run(variant, Duration::from_secs(wanted.seconds.into())).await?;
            progress.done(&format!(
                "{:.0} orders/s, {:.3} CPU s per 1000",
                trial.orders_per_s, trial.cpu_s_per_1000
            ));
            measured[index] = Some(trial);
        }
        let [Some(off), Some(on)] = measured else { bail!("a round lacks a trial") };
        rounds.push([off, on]);
    }
    Ok(rounds)
}

fn tempdir() -> Result<PathBuf> {
    let dir = std::env::temp_dir().join(format!("omnitrace-bench-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    Ok(dir)
}
