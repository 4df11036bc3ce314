//! Counters by one label with a bounded number of series.

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::families::{OTHER, register};
use crate::Error;

/// A counter by one label; cheap to clone. A value that was not declared counts as [`OTHER`].
#[derive(Clone, Debug)]
pub struct Counters {
    declared: Vec<(String, IntCounter)>,
    family: IntCounterVec,
}

impl Counters {
    pub(super) fn register(
        registry: &prometheus::Registry,
        (name, help): (&str, &str),
        label: &str,
        values: &[&str],
    ) -> Result<Self, Error> {
        let family = register(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)?;
        let declared = values.iter().map(|value| (value.to_string(), family.with_label_values(&[value])));
        Ok(Self { declared: declared.collect(), family })
    }

    /// The counter of one value.
    pub fn with_label_values(&self, [value]: &[&str; 1]) -> IntCounter {
        let declared = self.declared.iter().find(|(declared, _)| declared == value);
        declared.map_or_else(|| self.family.with_label_values(&[OTHER]), |(_, counter)| counter.clone())
    }
}
