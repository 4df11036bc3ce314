//! `stacks trace`.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use uuid::Uuid;

use crate::{
    backends::{embedded::EmbeddedJaeger, whole_trace},
    http,
    local::LocalStack,
    logs::{self, Filter},
    orders::Client,
    output::{show, terminal_width},
    settings::Options,
    style::Style,
};

/// The time in which a trace that has just begun may become whole.
const MAX_ARRIVAL: Duration = Duration::from_secs(2);

/// The trace to draw.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct TraceArgs {
    /// The trace of this order
    #[arg(long, value_name = "ID")]
    pub order: Option<String>,
    /// The trace with this id
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
}

/// Draws a trace as a tree.
///
/// # Errors
/// When the order or the trace is unknown.
pub async fn trace(options: &Options, args: &TraceArgs) -> Result<()> {
    let stack = LocalStack::open(options)?;
    let id = match (&args.order, &args.trace) {
        (Some(order), _) => trace_id(&stack.gateway_url(), &stack.log_dir(), order).await?,
        (None, trace) => trace.clone().context("cannot draw a trace: name an order or a trace")?,
    };
    let jaeger = stack.jaeger_url().context(
        "cannot draw a trace: OTEL_EXPORTER_OTLP_ENDPOINT names another trace backend than the stack's own",
    )?;
    let backend = EmbeddedJaeger::new(http::client()?, &jaeger);
    let trace = whole_trace(&backend, &id, MAX_ARRIVAL, |_| {}).await?;
    ensure!(
        !trace.spans.is_empty(),
        "{jaeger} has no trace {id} (yet): spans take a second to arrive, and only the newest traces are kept, in memory, \
         until `make down`"
    );
    show(&trace.tree(Style::for_stdout(), terminal_width()))
}

/// The trace id of an order, from the gateway or else from the log files.
async fn trace_id(gateway: &str, log_dir: &Path, id: &str) -> Result<String> {
    if Uuid::parse_str(id).is_err() {
        bail!("`{id}` is no order id: those look like 0198c0de-7a3b-7c1d-9e2f-0123456789ab");
    }
    if let Some(trace) = Client::new(gateway, "trace")?.trace_id(id).await {
        return Ok(trace);
    }
    // The first line about an order belongs to its placing; a later query for the order has a trace of its own.
    let lines = logs::read(log_dir, &Filter::order(log_dir, id)?, None)?;
    let traced = lines.iter().find(|line| line.order() == Some(id)).and_then(|line| line.trace());
    traced.map(str::to_owned).with_context(|| {
        format!("neither the gateway at {gateway} nor the log files in {} know order {id}", log_dir.display())
    })
}
