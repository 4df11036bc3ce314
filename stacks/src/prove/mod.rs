//! `stacks prove`: places orders and asks the running stack for the telemetry of each. An order is proven if it has left its
//! whole trace, log lines of every service, its metrics and one e-mail; every missing part is named, and so is every
//! deviation from the registry of telemetry.
//!
//! ```text
//!  orders ──► gateway                      the stack
//!     │                        ┌── trace ────┤
//!     └──► Placed ──► watch ◄──┼── lines ────┤   until nothing is missing, or the deadline
//!                              └── e-mail ───┤
//!                     measured ◄── counters, exemplars   once nothing is under way
//!                     contract ◄── spans, lines, /metrics compared with the registry
//!                        └──► Report: a table, JSON, the exit code
//! ```

mod contract;
mod evidence;
mod links;
mod measured;
mod orders;
mod report;
mod watch;

use std::time::{Duration, Instant};

use anyhow::Result;

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
    orders::{Client, Order},
    output::show,
    progress::Progress,
    registry::Registry,
    settings::Options,
    stack::{Backends, Stack},
    style::Style,
};

/// The stack and the orders to prove.
#[derive(Clone, Debug, clap::Args)]
pub struct ProveArgs {
    /// The stack to ask [default: the one that runs]
    #[arg(long)]
    pub stack: Option<Stack>,
    /// Orders to place
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000), value_name = "N")]
    pub orders: u32,
    /// Orders per second
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub rate: u32,
    /// Seconds after the last order in which everything must arrive
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    pub within: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Places orders, asks for their telemetry and shows the result; true if nothing was missing.
///
/// # Errors
/// When no stack runs, or its counters cannot be read.
pub async fn run(options: &Options, args: &ProveArgs) -> Result<bool> {
    let mut progress = Progress::for_terminal();
    let backends = Backends::find(options, args.stack).await?;
    let within = Duration::from_secs(args.within);
    let proven = through(&backends, (args.orders, args.rate), within, &mut progress).await;
    let (report, _) = proven.inspect_err(|_| progress.failed())?;
    show(&if args.json { report.json()? } else { report.table(Style::for_stdout()) })?;
    Ok(report.is_whole())
}

/// Places so many orders at a rate per second and asks for their telemetry; returns the result and the accepted orders.
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
    progress.begin("read counters");
    progress.waiting("the next scrape has not come".into());
    let measured = Measured::before(&*backends.metrics, within).await?;
    progress.done("before the orders");

    progress.begin("place orders");
    let orders = Orders::new(count as usize);
    let client = Client::new(&backends.gateway, "prove")?;
    let (trace, lines, emails) =
        (WholeTrace(&*backends.traces), Lines(&*backends.logs), Emails(&*backends.inbox));
    let tally = Tally::new(3 * count as usize);
    let watching = async {
        tokio::join!(
            orders.place(&client, rate),
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

    progress.begin("read metrics");
    let counted = measured.after(&placed, within).await;
    let mut checks = vec![orders.check()];
    // A second span, line or e-mail may have arrived after the first one was found.
    for found in [traces, lines, emails] {
        checks.push(found.again(&placed).await);
    }
    checks.extend(counted);
    checks.push(contract::check(backends, Registry::built_in(), &placed).await);
    if let (Some(grafana), Some(last)) = (&backends.grafana, placed.last()) {
        checks.push(links::follow(grafana, last, within).await);
    }
    progress.done(&format!("{} checks", checks.len()));
    let report = Report { stack: backends.stack.facts().name, took: begun.elapsed(), checks };
    Ok((report, placed.into_iter().map(|placed| placed.order).collect()))
}
