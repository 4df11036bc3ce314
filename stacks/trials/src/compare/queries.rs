//! The time that queries take.

use std::time::{Duration, Instant};

use anyhow::Result;
use stacks::latencies::Latencies;

/// Queries of each kind.
pub(super) const QUERIES: usize = 21;

/// The median time of a query.
///
/// # Errors
/// When a query fails.
pub(super) async fn median(query: impl AsyncFn() -> Result<()>) -> Result<Duration> {
    let mut latencies = Latencies::new()?;
    for _ in 0..QUERIES {
        let asked = Instant::now();
        query().await?;
        latencies.record(asked.elapsed());
    }
    Ok(latencies.quantile(0.5).unwrap_or_default())
}
