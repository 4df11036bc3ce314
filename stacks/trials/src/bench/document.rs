//! The document of a benchmark.

use std::time::Duration;

use super::{args::BenchArgs, database::Kind};

/// Its name, without an extension.
pub(super) fn name(args: &BenchArgs) -> &'static str {
    if args.growth.is_some() { "bench-growth" } else { args.database.document() }
}

/// The document, in Markdown.
pub(super) fn document(args: &BenchArgs, summary: &str) -> String {
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
    format!(
        "# What an order costs\n\n\
         Made by `make bench`: {} rounds with trials of {} s each, alternately in both orders.\n\n\
         - 64 clients place orders as fast as they are answered, without simulated delays;\n\
         - {database};\n\
         - telemetry on: every trace sampled, log lines to a file and over OTLP, spans over OTLP to a receiver that counts;\n\
         {base}{growth}\
         - a service is ready at its first good `/readyz`, with new databases or the grown ones; the slowest of the three counts;\n\
         - numbers are medians, losses are sums.\n\n\
         {summary}\n![Orders per second of each trial]({}.svg)\n",
        args.rounds,
        args.seconds,
        name(args)
    )
}
