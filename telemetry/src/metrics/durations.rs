//! Histograms of seconds with an exemplar for each bucket and a bounded number of series.

use std::array;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use prometheus::proto::LabelPair;
use prometheus::{Histogram, HistogramOpts, HistogramVec};

use super::exemplar::{Exemplar, Exemplars, Remembers};
use super::families::{DURATION_BUCKETS, OTHER, register};
use super::registry::Registry;
use crate::Error;

/// A label and the values that it may have. Every other value is measured as [`OTHER`].
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    name: &'a str,
    values: &'a [&'a str],
    room: usize,
}

impl<'a> Label<'a> {
    /// A label with these values alone.
    pub const fn closed(name: &'a str, values: &'a [&'a str]) -> Self {
        Self { name, values, room: 0 }
    }

    /// A label whose values come up at run time: the first `room` of them.
    pub const fn open(name: &'a str, room: usize) -> Self {
        Self { name, values: &[], room }
    }
}

/// A family of histograms over [`DURATION_BUCKETS`] with `N` labels; cheap to clone.
///
/// A measurement allocates nothing and waits for no other thread. Within a sampled span it becomes the exemplar of its
/// bucket, which leads from a slow bucket to a slow trace.
#[derive(Clone)]
pub struct Durations<const N: usize>(Arc<Family<N>>);

struct Family<const N: usize> {
    name: String,
    labels: [String; N],
    histograms: HistogramVec,
    series: RwLock<Series<N>>,
}

struct Series<const N: usize> {
    /// The known values of each label, and the number that may still come.
    known: [(Vec<String>, usize); N],
    /// By the positions of their label values.
    measured: HashMap<[usize; N], Arc<Measured>>,
}

struct Measured {
    histogram: Histogram,
    exemplars: Exemplars,
}

impl<const N: usize> Durations<N> {
    /// Registers a family without a series yet.
    ///
    /// # Errors
    /// When the name is taken, or it or a label is not valid.
    pub fn register(
        registry: &Registry,
        (name, help): (&str, &str),
        labels: [Label<'_>; N],
    ) -> Result<Self, Error> {
        let options = HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec());
        let histograms = register(registry, HistogramVec::new(options, &labels.map(|label| label.name))?)?;
        let known = labels.map(|label| (label.values.iter().map(ToString::to_string).collect(), label.room));
        let family = Arc::new(Family {
            name: name.to_owned(),
            labels: labels.map(|label| label.name.to_owned()),
            histograms,
            series: RwLock::new(Series { known, measured: HashMap::new() }),
        });
        registry.remember(family.clone());
        Ok(Self(family))
    }

    /// Makes the series with these values exist, with a count of 0: one that begins with its first measurement hides it
    /// from `rate()`.
    pub fn expect(&self, values: [&str; N]) {
        self.0.measured(values);
    }

    /// Adds a measurement.
    pub fn observe(&self, values: [&str; N], took: Duration) {
        let measured = self.0.measured(values);
        measured.histogram.observe(took.as_secs_f64());
        measured.exemplars.offer(&DURATION_BUCKETS, took);
    }

    /// The number of measurements of a series.
    pub fn count(&self, values: [&str; N]) -> u64 {
        self.0.measured(values).histogram.get_sample_count()
    }
}

impl<const N: usize> Family<N> {
    fn measured(&self, values: [&str; N]) -> Arc<Measured> {
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        match series.find(values) {
            Some(measured) => measured.clone(),
            None => {
                drop(series);
                self.create(values)
            }
        }
    }

    fn create(&self, values: [&str; N]) -> Arc<Measured> {
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let at: [usize; N] = array::from_fn(|label| series.admit(label, values[label]));
        let Series { known, measured } = &mut *series;
        let make = || {
            let values: [&str; N] = array::from_fn(|label| known[label].0[at[label]].as_str());
            let histogram = self.histograms.with_label_values(&values);
            Arc::new(Measured { histogram, exemplars: Exemplars::new(DURATION_BUCKETS.len()) })
        };
        measured.entry(at).or_insert_with(make).clone()
    }
}

impl<const N: usize> Series<N> {
    fn find(&self, values: [&str; N]) -> Option<&Arc<Measured>> {
        let mut at = [0; N];
        for ((at, value), (known, room)) in at.iter_mut().zip(values).zip(&self.known) {
            let other = || if *room == 0 { position(known, OTHER) } else { None };
            *at = position(known, value).or_else(other)?;
        }
        self.measured.get(&at)
    }

    /// The position of a value among those of its label, or that of [`OTHER`] if there is no room for it.
    fn admit(&mut self, label: usize, value: &str) -> usize {
        let (known, room) = &mut self.known[label];
        position(known, value).unwrap_or_else(|| {
            let value = if *room > 0 { value } else { OTHER };
            position(known, value).unwrap_or_else(|| {
                *room = room.saturating_sub(1);
                known.push(value.to_owned());
                known.len() - 1
            })
        })
    }
}

fn position(known: &[String], value: &str) -> Option<usize> {
    known.iter().position(|known| known == value)
}

impl<const N: usize> Remembers for Family<N> {
    fn name(&self) -> &str {
        &self.name
    }

    fn exemplars(&self, labels: &[LabelPair]) -> Vec<Option<Exemplar>> {
        let value_of =
            |name: &String| labels.iter().find(|label| label.name() == name).map_or("", LabelPair::value);
        let series = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let values = array::from_fn(|label| value_of(&self.labels[label]));
        series.find(values).map_or_else(Vec::new, |measured| measured.exemplars.all())
    }
}
