//! The arguments of a benchmark.

use std::{path::PathBuf, time::Duration};

use super::database::Kind;

/// What to measure, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct BenchArgs {
    /// Rounds, each with one trial of each kind; every other round runs in reverse order
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=50))]
    pub rounds: u16,
    /// Seconds of load in each trial
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=600))]
    pub seconds: u16,
    /// Measure this git revision, too, in the same rounds
    #[arg(long, value_name = "REVISION")]
    pub base: Option<String>,
    /// The database of payment and mailer
    #[arg(long, value_enum, default_value_t = Kind::Sqlite)]
    pub database: Kind,
    /// Measure files with so many settled orders, too, in the same rounds
    #[arg(long, value_name = "ORDERS", conflicts_with_all = ["base", "delay"])]
    pub growth: Option<u64>,
    /// Latency to add to each round trip to PostgreSQL
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0ms", value_name = "DURATION")]
    pub delay: Duration,
    /// Where to write the rows
    #[arg(long, default_value = "target/bench.json", value_name = "FILE")]
    pub report: PathBuf,
    /// Where to write the picture and the table
    #[arg(long, default_value = "docs", value_name = "DIR")]
    pub docs: PathBuf,
}
