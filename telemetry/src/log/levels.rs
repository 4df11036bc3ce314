//! The least severe levels that are logged, which can be changed for a while.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use tracing::subscriber::Interest;
use tracing::{Metadata, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Filter};

use crate::Error;
use crate::metrics::{Registry, gauge};

/// The levels in force; cheap to clone.
#[derive(Clone)]
pub(crate) struct Levels(Arc<Shared>);

struct Shared {
    configured: Targets,
    changed: RwLock<Option<Change>>,
    differs: IntGauge,
}

struct Change {
    levels: Targets,
    ends: Instant,
}

impl Levels {
    pub(crate) fn register(configured: Targets, registry: &Registry) -> Result<Self, Error> {
        let help = "1 while the log level differs from the configured one.";
        let differs = gauge(registry, "telemetry_log_level_changed", help)?;
        Ok(Self(Arc::new(Shared { configured, changed: RwLock::default(), differs })))
    }

    /// True if an entry of this logger and level is logged.
    pub(super) fn enable(&self, logger: &str, level: &tracing::Level) -> bool {
        self.with(|levels| levels.would_enable(logger, level))
    }

    /// Puts `levels` in force for `duration`; without a level for all, the configured levels hold for the rest.
    pub(crate) fn change(&self, levels: Targets, duration: Duration) {
        let levels = match levels.default_level() {
            Some(_) => levels,
            None => self.0.configured.clone().with_targets(levels),
        };
        self.set(Some(Change { levels, ends: Instant::now() + duration }));
    }

    /// Puts the configured levels in force again.
    pub(crate) fn restore(&self) {
        self.set(None);
    }

    /// Restores the configured levels if the time of the change is over. True if it was.
    pub(crate) fn expire(&self) -> bool {
        let is_over = self.remaining().is_some_and(|left| left.is_zero());
        if is_over {
            self.restore();
        }
        is_over
    }

    /// The levels in force, as `LOG_LEVEL` would name them.
    pub(crate) fn describe(&self) -> String {
        self.with(ToString::to_string)
    }

    /// The time until the configured levels are in force again; `None` while they are.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        let changed = self.0.changed.read().unwrap_or_else(PoisonError::into_inner);
        changed.as_ref().map(|change| change.ends.saturating_duration_since(Instant::now()))
    }

    fn set(&self, change: Option<Change>) {
        self.0.differs.set(change.is_some().into());
        *self.0.changed.write().unwrap_or_else(PoisonError::into_inner) = change;
        // tracing asks a filter once for each callsite, and keeps the answer.
        tracing::callsite::rebuild_interest_cache();
    }

    fn with<T>(&self, read: impl FnOnce(&Targets) -> T) -> T {
        let changed = self.0.changed.read().unwrap_or_else(PoisonError::into_inner);
        read(changed.as_ref().map_or(&self.0.configured, |change| &change.levels))
    }
}

/// Events by level and target, and no span.
impl<S> Filter<S> for Levels {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_event() && self.enable(metadata.target(), metadata.level())
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let is_enabled = metadata.is_event() && self.enable(metadata.target(), metadata.level());
        if is_enabled { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.with(|levels| {
            let named = levels.iter().map(|(_, level)| level);
            named.chain(levels.default_level()).max()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> (Levels, Registry) {
        let registry = Registry::new();
        (Levels::register("info,shy=error".parse().unwrap(), &registry).unwrap(), registry)
    }

    #[test]
    fn a_change_holds_for_its_time_and_is_measured() {
        let (levels, _registry) = levels();
        let is_on = |logger| levels.enable(logger, &tracing::Level::DEBUG);
        assert!(!is_on("payment") && !is_on("shy") && levels.remaining().is_none());
        levels.change("info,payment=debug".parse().unwrap(), Duration::from_secs(60));
        assert!(is_on("payment") && !is_on("other"));
        assert!(levels.enable("shy", &tracing::Level::INFO));
        assert_eq!(levels.0.differs.get(), 1);
        assert!(!levels.expire());
        levels.change("debug".parse().unwrap(), Duration::ZERO);
        assert!(levels.expire() && !levels.expire());
        assert!(!is_on("payment") && levels.remaining().is_none());
        assert_eq!(levels.0.differs.get(), 0);
    }

    #[test]
    fn the_hint_is_the_most_verbose_level() {
        let (levels, _registry) = levels();
        let hint = || Filter::<tracing_subscriber::Registry>::max_level_hint(&levels);
        assert_eq!(hint(), Some(LevelFilter::INFO));
        levels.change("warn,payment=trace".parse().unwrap(), Duration::from_secs(60));
        assert_eq!(hint(), Some(LevelFilter::TRACE));
    }
}
