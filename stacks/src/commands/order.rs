//! `stacks order`: places one order, and shows its trace and its log lines.

use std::{
    iter,
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
/// Without it the missing trace would look like a fault.
const NO_TRACES: &str = "the gateway records no traces, so that no trace can be shown; unset OTEL_TRACES_EXPORTER and \
    OTEL_SDK_DISABLED to have them";
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
    let order = order?;
    show(&format!("\nnext:\n  {}\n", next(&order).join("\n  ")))
}

/// The commands that show more of an order.
pub(super) fn next(Order { order_id, trace_id }: &Order) -> Vec<String> {
    let trace = (!trace_id.is_empty()).then(|| format!("make trace ORDER={order_id}"));
    iter::once(format!("make logs ORDER={order_id}")).chain(trace).collect()
}

/// Places an order, and shows its trace and its log lines.
pub(super) async fn place(stack: &LocalStack, progress: &mut Progress) -> Result<Order> {
    progress.begin("place order");
    let order = Client::new(stack.gateway_url(), "order")?.place_sample().await?;
    progress.done(&order.order_id);
    if order.trace_id.is_empty() {
        progress.note(NO_TRACES);
    } else if let Some(jaeger) = stack.jaeger_url() {
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
    let (lines, silent) = read_logs(&stack.log_dir(), &order).await?;
    if silent.is_empty() {
        progress.done(&format!("{} lines of {} services", lines.len(), SERVICES.len()));
    }
    show_lines(&lines, false)?;
    if !silent.is_empty() {
        bail!("no log line of {} names the order; see {}", silent.join(", "), stack.log_dir().display());
    }
    Ok(order)
}

/// The log lines of an order once every service has logged, or at the deadline; and the services that have not.
async fn read_logs(dir: &Path, order: &Order) -> Result<(Vec<Line>, Vec<&'static str>)> {
    let deadline = Instant::now() + MAX_LOG_ARRIVAL;
    loop {
        let filter = match order.trace_id.as_str() {
            "" => Filter::order(dir, &order.order_id)?,
            trace => Filter::trace(trace),
        };
        let lines = logs::read(dir, &filter, None)?;
        let is_silent = |service: &&str| !lines.iter().any(|line| line.service == *service);
        let silent: Vec<_> = SERVICES.into_iter().filter(is_silent).collect();
        if silent.is_empty() || Instant::now() > deadline {
            return Ok((lines, silent));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
