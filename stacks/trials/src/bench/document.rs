//! The document of a benchmark.

use std::time::Duration;

use super::{args::BenchArgs, database::Kind};

/// The heading of the part that is written by hand, and kept.
const KEPT: &str = "\n## What is left\n";

/// Its name, without an extension.
pub(super) fn name(args: &BenchArgs) -> &'static str {
    if args.growth.is_some() { "bench-growth" } else { args.database.document() }
}

/// The document, in Markdown, with the part of the last one that is written by hand.
pub(super) fn document(args: &BenchArgs, summary: &str, last: &str) -> String {
    let database = match (args.database, args.delay) {
        (Kind::Sqlite, _) => "SQLite, each commit flushed to the disk".to_owned(),
        (Kind::Postgres, Duration::ZERO) => "PostgreSQL, each commit flushed to the disk".to_owned(),
        (Kind::Postgres, delay) => format!(
            "PostgreSQL, each commit flushed to the disk, each round trip {} longer by a proxy",
            humantime::format_duration(delay)
        ),
    };
    let base = args.base.as_ref().map_or_else(String::new, |base| {
        format!("- `base` is the revision `{base}`, built like the current tree and measured in the same rounds;\n")
    });
    let growth = args.growth.map_or_else(String::new, |orders| {
        format!("- `grown` begins with files that have {orders} settled orders, with their keys, events and e-mails;\n")
    });
    let kept = last.find(KEPT).map_or("", |at| &last[at..]);
    format!(
        "# What an order costs\n\n\
         Made by `make bench`: {} rounds with trials of {} s each, alternately in both orders.\n\n\
         - 64 clients place orders as fast as they are answered, without simulated delays;\n\
         - {database};\n\
         - telemetry on: every trace sampled, log lines to a file and over OTLP, spans over OTLP to a receiver that counts;\n\
         {base}{growth}\
         - a service is ready at its first good `/readyz`, with new databases or the grown ones; the slowest of the three counts;\n\
         - statements are those in the services' databases, without BEGIN and COMMIT; a dash is none, or not counted;\n\
         - numbers are medians, losses are sums.\n\n\
         {summary}\n![Orders per second of each trial]({}.svg)\n{kept}",
        args.rounds,
        args.seconds,
        name(args)
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        bench: BenchArgs,
    }

    #[test]
    fn the_part_that_is_written_by_hand_is_kept() {
        let args = Cli::parse_from(["bench", "--rounds", "8"]).bench;
        let first = document(&args, "old numbers\n", "");
        assert!(first.contains("8 rounds") && first.ends_with(".svg)\n"), "{first}");
        let second = document(&args, "new numbers\n", &format!("{first}{KEPT}\nA table.\n"));
        assert!(second.ends_with("## What is left\n\nA table.\n") && !second.contains("old"), "{second}");
    }
}
