//! `stacks prove`: places orders and asks the running stack for each of them. Whole is an order that left its trace, the
//! log lines of every service, its measurements and one e-mail; everything else is named.
//!
//! ```text
//!  orders ──► gateway                      the stack
//!     │                        ┌── trace ────┤
//!     └──► Placed ──► watch ◄──┼── lines ────┤   until nothing is missing, or the deadline
//!                              └── e-mail ───┤
//!                     measured ◄── counters, exemplars   once nothing is under way
//!                        └──► Report: a table, JSON, the exit code
//! ```

mod evidence;
mod links;
mod measured;
mod orders;
mod report;
mod watch;

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use self::{
    evidence::{Emails, Lines, WholeTrace},
    measured::Measured,
    orders::Orders,
    watch::{Tally, watch},
};
pub use self::{
    evidence::{LINES, TRACE},
    report::Report,
};
use crate::{
    backends::stack::{Backends, Kind},
    http,
    local::Options,
    order::Order,
    progress::Progress,
    style::Style,
};

/// What to prove.
#[derive(Clone, Debug, clap::Args)]
pub struct ProveWanted {
    /// The stack to ask [default: the one that runs]
    #[arg(long)]
    pub stack: Option<Kind>,
    /// Orders to place
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub orders: u32,
    /// Orders to place each second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub rate: u32,
    /// Seconds that everything has to arrive in, from the last order on
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub within: u64,
    /// The result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Places orders, asks for them, shows what was found; whether nothing was missing.
pub async fn run(options: &Options, wanted: &ProveWanted) -> Result<bool> {
    let mut progress = Progress::for_terminal();
    let backends = Backends::find(options, wanted.stack).await?;
    let within = Duration::from_secs(wanted.within);
    let proven = through(&backends, (wanted.orders, wanted.rate), within, &mut progress).await;
    let (report, _) = proven.inspect_err(|_| progress.failed())?;
    let text = if wanted.json { report.json()? } else { report.table(Style::for_stdout()) };
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(report.is_whole())
}

/// Places so many orders, so many each second, and asks for them; what was found, and the orders that were accepted.
///
/// # Errors
/// When a backend or the gateway cannot be reached.
pub async fn through(
    backends: &Backends,
    (count, rate): (u32, u32),
    within: Duration,
    progress: &mut Progress,
) -> Result<(Report, Vec<Order>)> {
    let begun = Instant::now();
    progress.begin("counters");
    progress.waiting("as of now: where they are scraped, the next scrape is waited for".into());
    let measured = Measured::before(&*backends.metrics, within).await?;
    progress.done("as they are before");

    progress.begin("orders");
    let orders = Orders::new(count as usize);
    let client = http::synthetic_client("prove")?;
    let (trace, lines, emails) =
        (WholeTrace(&*backends.traces), Lines(&*backends.logs), Emails(&*backends.inbox));
    let tally = Tally::new(3 * count as usize);
    let watching = async {
        tokio::join!(
            orders.place(&client, &backends.gateway, rate),
            watch(&trace, &orders, within, &tally),
            watch(&lines, &orders, within, &tally),
            watch(&emails, &orders, within, &tally),
        )
    };
    let ((), traces, lines, emails) = tokio::select! {
        all = watching => all,
        never = tally.show(progress) => match never {},
    };
    let placed = orders.placed();
    progress.done(&format!("{} of {count} accepted", placed.len()));

    progress.begin("measurements");
    progress.waiting("of all orders, and everything else once more".into());
    let counted = measured.after(&placed, within).await;
    let mut checks = vec![orders.check()];
    // A second span, line or e-mail may have come after the first was seen.
    for sighted in [traces, lines, emails] {
        checks.push(sighted.again(&placed).await);
    }
    checks.extend(counted);
    if let (Some(grafana), Some(last)) = (&backends.grafana, placed.last()) {
        checks.push(links::follow(grafana, last, within).await);
    }
    progress.done("looked at");
    let report = Report { stack: backends.kind.to_string(), took: begun.elapsed(), checks };
    Ok((report, placed.into_iter().map(|placed| placed.order).collect()))
}
