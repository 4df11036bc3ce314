//! `stacks order`: places one order, and shows its trace and its log lines.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use super::logs::show_lines;
use crate::{
    backends::{embedded::EmbeddedJaeger, whole_trace},
    http,
    local::LocalStack,
    logs::{self, Filter, Line, SERVICES},
    orders::{Client, Order},
    output::{show, terminal_width},
    progress::Progress,
    settings::Options,
    style::Style,
};

/// The time in which the trace must become whole.
const MAX_TRACE_ARRIVAL: Duration = Duration::from_secs(15);
/// The time in which every service must have logged.
const MAX_LOG_ARRIVAL: Duration = Duration::from_secs(3);

/// Places an order on the stack that runs, and shows its trace and its log lines.
///
/// # Errors
/// When the order is refused, or a span or a log line is missing.
pub async fn order(options: &Options) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let order = place(&LocalStack::open(options)?, &mut progress).await;
    progress.failed();
    let id = order?.order_id;
    show(&format!("\nnext:\n  make logs ORDER={id}\n  make trace ORDER={id}\n"))
}

/// Places an order, and shows its trace and its log lines.
pub(super) async fn place(stack: &LocalStack, progress: &mut Progress) -> Result<Order> {
    progress.begin("place order");
    let order = Client::new(stack.gateway_url(), "order")?.place_sample().await?;
    progress.done(&order.order_id);
    if let Some(jaeger) = stack.jaeger_url() {
        progress.begin("fetch trace");
        let waiting = |missing| progress.waiting(format!("{missing} spans have not arrived"));
        let jaeger = EmbeddedJaeger::new(http::client()?, jaeger);
        let trace = whole_trace(&jaeger, &order.trace_id, MAX_TRACE_ARRIVAL, waiting).await?;
        let span = |(service, kind, name): &(&str, &str, &str)| format!("{service} {kind} `{name}`");
        let missing: Vec<String> = trace.missing().iter().map(span).collect();
        if missing.is_empty() {
            progress.done(&format!("{} spans of {} services", trace.spans.len(), trace.services().len()));
        }
        show(&format!("\n{}\n", trace.tree(Style::for_stdout(), terminal_width())))?;
        if !missing.is_empty() {
            bail!(
                "the trace lacks {} after {} s; `make logs ORDER={}` may show why",
                missing.join(", "),
                MAX_TRACE_ARRIVAL.as_secs(),
                order.order_id
            );
        }
    }
    progress.begin("read logs");
    let (lines, silent) = read_logs(&stack.log_dir(), &order.trace_id).await?;
    if silent.is_empty() {
        progress.done(&format!("{} lines of {} services", lines.len(), SERVICES.len()));
    }
    show_lines(&lines, false)?;
    if !silent.is_empty() {
        bail!("no log line of {} has the trace id; see {}", silent.join(", "), stack.log_dir().display());
    }
    Ok(order)
}

/// The log lines of a trace once every service has logged, or at the deadline; and the services that have not.
async fn read_logs(dir: &Path, trace: &str) -> Result<(Vec<Line>, Vec<&'static str>)> {
    let deadline = Instant::now() + MAX_LOG_ARRIVAL;
    loop {
        let lines = logs::read(dir, &Filter::trace(trace), None)?;
        let is_silent = |service: &&str| !lines.iter().any(|line| line.service == *service);
        let silent: Vec<_> = SERVICES.into_iter().filter(is_silent).collect();
        if silent.is_empty() || Instant::now() > deadline {
            return Ok((lines, silent));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
