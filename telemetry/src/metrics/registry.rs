//! The registry of a service, and the two text formats of its metrics.

use std::ops::Deref;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus::TextEncoder;

use super::exemplar::Remembers;
use super::openmetrics::Page;
use crate::Error;

/// A registry of the crate `prometheus` with exemplars; cheap to clone.
#[derive(Clone, Default)]
pub struct Registry {
    inner: prometheus::Registry,
    remembering: Arc<RwLock<Vec<Arc<dyn Remembers>>>>,
}

/// In which format metrics are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4 of Prometheus, which every scraper reads. It has no exemplars.
    #[default]
    Text,
    /// [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), with exemplars.
    OpenMetrics,
}

impl Format {
    /// The media type with its version.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// All metrics, with their current values.
    ///
    /// # Errors
    /// When a collector gives what can't be written as text.
    pub fn encode(&self, format: Format) -> Result<String, Error> {
        let families = self.inner.gather();
        match format {
            Format::Text => Ok(TextEncoder::new().encode_to_string(&families)?),
            Format::OpenMetrics => {
                Ok(Page { families: &families, remembering: &self.remembering() }.to_string())
            }
        }
    }

    /// The families that have exemplars.
    pub(super) fn remembering(&self) -> Vec<Arc<dyn Remembers>> {
        self.remembering.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn remember(&self, family: Arc<dyn Remembers>) {
        self.remembering.write().unwrap_or_else(PoisonError::into_inner).push(family);
    }
}

impl Deref for Registry {
    type Target = prometheus::Registry;

    fn deref(&self) -> &prometheus::Registry {
        &self.inner
    }
}
