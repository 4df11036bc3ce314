//! Counters by one label that can't grow without bound.

use prometheus::{IntCounter, IntCounterVec, Opts};

use super::OTHER;
use crate::Error;

/// A counter by one label; cheap to clone. A value that was not announced counts as [`OTHER`].
#[derive(Clone, Debug)]
pub struct Counters {
    announced: Vec<(String, IntCounter)>,
    family: IntCounterVec,
}

impl Counters {
    pub(super) fn register(
        registry: &prometheus::Registry,
        (name, help): (&str, &str),
        label: &str,
        values: &[&str],
    ) -> Result<Self, Error> {
        let family = super::register(registry, IntCounterVec::new(Opts::new(name, help), &[label])?)?;
        let announced = values.iter().map(|value| (value.to_string(), family.with_label_values(&[value])));
        Ok(Self { announced: announced.collect(), family })
    }

    /// The counter of one value.
    pub fn with_label_values(&self, [value]: &[&str; 1]) -> IntCounter {
        let announced = self.announced.iter().find(|(announced, _)| announced == value);
        announced.map_or_else(|| self.family.with_label_values(&[OTHER]), |(_, counter)| counter.clone())
    }
}
