//! Which spans and events somebody wants.

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

/// Spans by one list of targets and levels, events by another.
pub(crate) struct Wanted {
    spans: Targets,
    events: Targets,
    most: LevelFilter,
}

impl Wanted {
    pub(crate) fn new(spans: Targets, events: Targets) -> Self {
        let levels = [&spans, &events].map(|targets| {
            let levels = targets.iter().map(|(_, level)| level);
            levels.chain(targets.default_level()).max().unwrap_or(LevelFilter::OFF)
        });
        let most = levels.into_iter().max().unwrap_or(LevelFilter::OFF);
        Self { spans, events, most }
    }

    /// Whatever is below is refused before anybody looks for the callsite that it comes from.
    pub(super) fn most(&self) -> LevelFilter {
        self.most
    }

    pub(super) fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let targets = if metadata.is_span() { &self.spans } else { &self.events };
        targets.would_enable(metadata.target(), metadata.level())
    }
}
