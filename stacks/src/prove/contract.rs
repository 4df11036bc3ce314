//! The registry of telemetry, and what the orders and their services have left behind: each deviation is named.

use std::time::Instant;

use super::{
    orders::Placed,
    report::{Check, Missing},
};
use crate::{
    backends::lines::Which,
    logs::{Line, SERVICES},
    orders::Order,
    registry::{Registry, Source},
    stack::Backends,
};

/// The check, as reports name it.
pub(super) const CONTRACT: &str = "registry kept";

/// Orders whose signals are compared, the newest: all have the same form.
const MAX_ORDERS: usize = 20;

/// Compares the spans and lines of orders, and `/metrics` of each service.
pub(super) async fn check(backends: &Backends, registry: &Registry, placed: &[Placed]) -> Check {
    let begun = Instant::now();
    let mut missing = Missing::default();
    let compared = &placed[placed.len().saturating_sub(MAX_ORDERS)..];
    let mut kept = 0;
    for Placed { order, .. } in compared {
        let found = deviations(backends, registry, order).await;
        kept += usize::from(found.is_empty());
        found.iter().for_each(|what| missing.add(what, &order.order_id));
    }
    for service in SERVICES {
        let found = match backends.services.page(service).await {
            Ok(page) => registry.page(service, &page),
            Err(error) => [format!("{error:#}")].into(),
        };
        kept += usize::from(found.is_empty());
        found.iter().for_each(|what| missing.add(what, ""));
    }
    Check::at_once(CONTRACT, (kept, compared.len() + SERVICES.len()), begun.elapsed(), missing)
}

async fn deviations(backends: &Backends, registry: &Registry, order: &Order) -> Vec<String> {
    let mut found = Vec::new();
    match backends.traces.trace(&order.trace_id).await {
        // Elsewhere, the check of whole traces has compared names and kinds.
        Ok(trace) if backends.traces.keeps_attributes() => {
            let spans = trace.map(|trace| trace.spans).unwrap_or_default();
            found.extend(spans.iter().flat_map(|span| {
                let signal = (span.service.as_str(), span.kind.as_str(), span.name.as_str());
                registry.span(signal, &span.attributes, Source::Texts)
            }));
        }
        Ok(_) => {}
        Err(error) => found.push(format!("{error:#}")),
    }
    let source = if backends.logs.keeps_lines() { Source::Exact } else { Source::Mixed };
    match backends.logs.find(&Which::Traces(vec![order.trace_id.clone()])).await {
        Ok(lines) => {
            found.extend(lines.iter().flat_map(|Line { service, message, fields, .. }| {
                registry.line(service, message, fields, source)
            }));
        }
        Err(error) => found.push(format!("{error:#}")),
    }
    found
}
