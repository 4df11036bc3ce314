//! The telemetry of a trial that did not arrive.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use stacks::trace::ORDER;
use testkit::otlp::OtlpSink;

/// Spans of one order: those that cross a process border, and the decision.
const SPANS: u64 = ORDER.len() as u64 + 1;
/// Log lines of one order: three of each service.
const MIN_LINES: u64 = 9;

/// The spans that did not arrive, and the log lines that are in no file or did not arrive.
///
/// # Errors
/// When a log file cannot be read, or the orders have too few lines to compare.
pub(super) fn losses(logs: &Path, sink: &OtlpSink, orders: u64) -> Result<(u64, u64)> {
    let mut lines = 0_u64;
    let mut by_trace: HashMap<String, u64> = HashMap::new();
    for file in fs::read_dir(logs)? {
        let file = file?.path();
        if !file.to_string_lossy().contains(".log") {
            continue;
        }
        for line in fs::read_to_string(&file)?.lines() {
            lines += 1;
            let line: Value = serde_json::from_str(line)
                .with_context(|| format!("{} has a line that is not JSON", file.display()))?;
            if let Some(trace) = line["trace.id"].as_str() {
                *by_trace.entry(trace.to_owned()).or_default() += 1;
            }
        }
    }
    // All orders are alike: each must have as many lines as the one with the most.
    let each = by_trace.values().max().copied().unwrap_or_default();
    ensure!(each >= MIN_LINES, "an order has {each} log lines in place of {MIN_LINES}");
    let in_traces: u64 = by_trace.values().sum();
    let (spans, records) = sink.counts();
    let unwritten = (each * orders).saturating_sub(in_traces);
    Ok(((SPANS * orders).saturating_sub(spans), unwritten + lines.saturating_sub(records)))
}
