//! Data points of OTLP from the families of a registry: cumulative, or the difference to the export before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    self, AggregationTemporality, HistogramDataPoint, NumberDataPoint, exemplar, metric, number_data_point,
};
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::conventions::{Convention, convention, name_and_unit};
use super::exemplar::{Exemplar, Remembers};

/// Makes data points, and remembers the last ones for the next difference.
pub(super) struct Points {
    is_delta: bool,
    /// When the values began to count; since the Unix epoch, as all times here.
    start: Duration,
    /// The export before this one.
    last: Duration,
    previous: HashMap<String, Previous>,
}

#[derive(Clone, Debug, Default)]
struct Previous {
    value: f64,
    counts: Vec<u64>,
}

impl Points {
    pub(super) fn new(is_delta: bool, start: Duration) -> Self {
        Self { is_delta, start, last: start, previous: HashMap::new() }
    }

    /// The metrics of `families` at this time.
    pub(super) fn take(
        &mut self,
        families: &[MetricFamily],
        remembering: &[Arc<dyn Remembers>],
        now: Duration,
    ) -> Vec<v1::Metric> {
        let metrics = families.iter().filter_map(|family| {
            let exemplars = remembering.iter().find(|remembering| remembering.name() == family.name());
            self.metric(family, exemplars.map(|exemplars| &**exemplars), now)
        });
        let metrics = metrics.collect();
        self.last = now;
        metrics
    }

    fn metric(
        &mut self,
        family: &MetricFamily,
        exemplars: Option<&dyn Remembers>,
        now: Duration,
    ) -> Option<v1::Metric> {
        let convention = convention(family.name());
        let metrics = family.get_metric().iter();
        let data = match family.get_field_type() {
            MetricType::COUNTER => {
                let points = metrics.map(|metric| self.sum(family.name(), convention, metric, now)).collect();
                let aggregation_temporality = self.temporality();
                metric::Data::Sum(v1::Sum {
                    data_points: points,
                    aggregation_temporality,
                    is_monotonic: true,
                })
            }
            MetricType::GAUGE => {
                let start = if convention.is_some() { nanos(self.start) } else { 0 };
                let point = |metric: &Metric| NumberDataPoint {
                    attributes: attributes(convention, metric.get_label()),
                    start_time_unix_nano: start,
                    time_unix_nano: nanos(now),
                    value: Some(number_data_point::Value::AsDouble(metric.get_gauge().get_value())),
                    ..NumberDataPoint::default()
                };
                let data_points = metrics.map(point).collect();
                match convention {
                    // Each gauge with a convention is an up-down counter there, which has no differences.
                    Some(_) => metric::Data::Sum(v1::Sum {
                        data_points,
                        aggregation_temporality: AggregationTemporality::Cumulative.into(),
                        is_monotonic: false,
                    }),
                    None => metric::Data::Gauge(v1::Gauge { data_points }),
                }
            }
            MetricType::HISTOGRAM => {
                let points = metrics.map(|metric| {
                    let exemplars = exemplars.map(|exemplars| exemplars.exemplars(metric.get_label()));
                    self.histogram(family.name(), convention, metric, exemplars.unwrap_or_default(), now)
                });
                let points = points.collect();
                let aggregation_temporality = self.temporality();
                metric::Data::Histogram(v1::Histogram { data_points: points, aggregation_temporality })
            }
            // No collector here makes another kind.
            MetricType::SUMMARY | MetricType::UNTYPED => return None,
        };
        let (name, unit) =
            convention.map_or_else(|| name_and_unit(family.name()), |known| (known.name, known.unit));
        Some(v1::Metric {
            name: name.to_owned(),
            description: family.help().to_owned(),
            unit: unit.to_owned(),
            data: Some(data),
            ..v1::Metric::default()
        })
    }

    fn sum(
        &mut self,
        family: &str,
        convention: Option<&Convention>,
        metric: &Metric,
        now: Duration,
    ) -> NumberDataPoint {
        let value = metric.get_counter().get_value();
        let (before, start) =
            self.difference(family, metric.get_label(), Previous { value, counts: Vec::new() });
        NumberDataPoint {
            attributes: attributes(convention, metric.get_label()),
            start_time_unix_nano: nanos(start),
            time_unix_nano: nanos(now),
            value: Some(number_data_point::Value::AsDouble(value - before.value)),
            ..NumberDataPoint::default()
        }
    }

    fn histogram(
        &mut self,
        family: &str,
        convention: Option<&Convention>,
        metric: &Metric,
        exemplars: Vec<Option<Exemplar>>,
        now: Duration,
    ) -> HistogramDataPoint {
        let histogram = metric.get_histogram();
        let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
        let (bounds, cumulative): (Vec<_>, Vec<_>) =
            finite.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count())).unzip();
        // Prometheus counts what is below a bound, OTLP what is between two.
        let mut below = 0;
        let all = cumulative.into_iter().chain([histogram.get_sample_count()]);
        let counts: Vec<u64> =
            all.map(|count| count.saturating_sub(std::mem::replace(&mut below, count))).collect();
        let value = histogram.get_sample_sum();
        let current = Previous { value, counts: counts.clone() };
        let (before, start) = self.difference(family, metric.get_label(), current);
        let before_count = |bucket: usize| before.counts.get(bucket).copied().unwrap_or_default();
        let counts = counts.into_iter().enumerate();
        let bucket_counts: Vec<u64> =
            counts.map(|(bucket, count)| count.saturating_sub(before_count(bucket))).collect();
        let last = self.last;
        let new = exemplars.into_iter().flatten().filter(|exemplar| exemplar.at >= last);
        HistogramDataPoint {
            attributes: attributes(convention, metric.get_label()),
            start_time_unix_nano: nanos(start),
            time_unix_nano: nanos(now),
            count: bucket_counts.iter().sum(),
            sum: Some(value - before.value),
            bucket_counts,
            explicit_bounds: bounds,
            exemplars: new.map(encode).collect(),
            ..HistogramDataPoint::default()
        }
    }

    /// The values to subtract, and when those that are left began to count.
    fn difference(&mut self, family: &str, labels: &[LabelPair], current: Previous) -> (Previous, Duration) {
        if !self.is_delta {
            return (Previous::default(), self.start);
        }
        let mut series = family.to_owned();
        labels.iter().for_each(|label| series.extend(["\0", label.name(), "\0", label.value()]));
        (self.previous.insert(series, current).unwrap_or_default(), self.last)
    }

    fn temporality(&self) -> i32 {
        match self.is_delta {
            true => AggregationTemporality::Delta.into(),
            false => AggregationTemporality::Cumulative.into(),
        }
    }
}

fn encode(exemplar: Exemplar) -> v1::Exemplar {
    v1::Exemplar {
        time_unix_nano: nanos(exemplar.at),
        span_id: exemplar.span.to_bytes().to_vec(),
        trace_id: exemplar.trace.to_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(exemplar.seconds)),
        filtered_attributes: Vec::new(),
    }
}

fn attributes(convention: Option<&Convention>, labels: &[LabelPair]) -> Vec<KeyValue> {
    let names = convention.map_or(&[][..], |convention| convention.attributes);
    let implied = convention.map_or(&[][..], |convention| convention.implied);
    let labels = labels.iter().map(|label| {
        let renamed = names.iter().find(|(known, _)| *known == label.name());
        (renamed.map_or(label.name(), |(_, name)| name), label.value())
    });
    labels.chain(implied.iter().copied()).map(|(name, value)| attribute(name, value)).collect()
}

fn attribute(name: &str, value: &str) -> KeyValue {
    let value = match (name, value.parse()) {
        ("http.response.status_code", Ok(status)) => any_value::Value::IntValue(status),
        _ => any_value::Value::StringValue(value.to_owned()),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(since_epoch: Duration) -> u64 {
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
