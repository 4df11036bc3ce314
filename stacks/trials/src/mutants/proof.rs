//! `stacks prove` on a local stack with a mutant in it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::Result;
use stacks::{
    local::LocalStack,
    progress::Progress,
    prove,
    settings::Options,
    stack::{Backends, Stack},
    style::Style,
};

/// Orders to place, and how many each second.
const ORDERS: (u32, u32) = (5, 20);
/// How long the evidence of an order may take to arrive.
const WITHIN: Duration = Duration::from_secs(4);
/// Services without simulated delays and without a Prometheus, so that their own metrics are asked.
const SETTINGS: [(&str, &str); 4] =
    [("PAYMENT_LATENCY", "5ms"), ("MAIL_LATENCY", "5ms"), ("GATEWAY_RATE_LIMIT", "0"), ("ALERTS", "off")];

/// Starts a local stack in this directory, and returns the lines of a report that does not prove it whole.
pub(super) async fn disproves(
    dir: &Path,
    binaries: &Path,
    mut env: BTreeMap<String, String>,
    amqp_url: String,
) -> Result<Vec<String>> {
    env.extend(SETTINGS.map(|(key, value)| (key.into(), value.into())));
    env.insert("AMQP_URL".into(), amqp_url);
    let options = Options { dir: dir.into(), env, free_ports: true, binaries: binaries.into() };
    let _stack = LocalStack::up(&options, &mut Progress::silent()).await?;
    let backends = Backends::find(&options, Some(Stack::Local)).await?;
    let (report, _) = prove::through(&backends, ORDERS, WITHIN, &mut Progress::silent()).await?;
    let lines = report.table(Style::PLAIN).lines().map(str::to_owned).collect();
    Ok(if report.is_whole() { Vec::new() } else { lines })
}
