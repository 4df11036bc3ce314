//! The arguments of a comparison.

use std::path::PathBuf;

use stacks::stack::Stack;

/// The stacks and the orders to compare them with.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareArgs {
    /// This stack; can be given several times [default: all]
    #[arg(long = "stack", value_name = "STACK")]
    pub stacks: Vec<Stack>,
    /// Orders through each stack
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub orders: u32,
    /// Orders per second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000), value_name = "N")]
    pub rate: u32,
    /// Where to write the picture and the table
    #[arg(long, default_value = "docs", value_name = "DIR")]
    pub docs: PathBuf,
}
