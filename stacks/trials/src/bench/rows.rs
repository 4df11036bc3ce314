//! The results as rows, for machines.

use serde_json::{Value, json};

use super::{
    measured::{Round, SERVICES},
    variant::Variant,
};

/// Each trial as a row.
pub(super) fn rows(variants: &[Variant], rounds: &[Round]) -> Vec<Value> {
    let mut rows = Vec::new();
    for (number, round) in rounds.iter().enumerate() {
        for (variant, measured) in variants.iter().zip(round) {
            let services = SERVICES.iter().zip(measured.services).map(|(name, cost)| {
                let cost = json!({
                    "cpu_us": cost.cpu_us,
                    "switches": cost.switches,
                    "peak_mib": cost.peak_mib,
                    "statements": cost.statements,
                    "commits": cost.commits,
                });
                ((*name).to_owned(), cost)
            });
            rows.push(json!({
                "round": number + 1,
                "variant": variant.name,
                "orders_per_s": measured.orders_per_s,
                "cpu_us": measured.total().cpu_us,
                "switches": measured.total().switches,
                "p50_ms": measured.p50_ms,
                "p99_ms": measured.p99_ms,
                "ready_ms": measured.ready_ms,
                "spans_lost": measured.spans_lost,
                "lines_lost": measured.lines_lost,
                "services": services.collect::<serde_json::Map<String, Value>>(),
            }));
        }
    }
    rows
}
