//! The work of a database, counted once there is a registry for it.

use std::sync::{Arc, OnceLock};

use prometheus::{Error, IntCounter, Registry};

/// The counters that the lanes of a database share; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<OnceLock<Counters>>);

struct Counters {
    statements: IntCounter,
    commits: IntCounter,
}

impl Counts {
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), Error> {
        let counter = |name, help| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, Error>(counter)
        };
        let counters = Counters {
            statements: counter(
                "store_statements_total",
                "Statements that were run in the database, without those that begin and end a transaction.",
            )?,
            commits: counter("store_commits_total", "Transactions that were committed.")?,
        };
        // A second registry has refused the names, or gets its own counters, which stay at zero.
        let _ = self.0.set(counters);
        Ok(())
    }

    pub(crate) fn statement(&self) {
        if let Some(counters) = self.0.get() {
            counters.statements.inc();
        }
    }

    pub(crate) fn commit(&self) {
        if let Some(counters) = self.0.get() {
            counters.commits.inc();
        }
    }
}
