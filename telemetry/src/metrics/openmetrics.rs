//! The OpenMetrics text format 1.0, which the crate `prometheus` does not write.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::exemplar::{Exemplar, Remembers};

/// Units at the end of a name; a family without one has no unit.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

/// A page of all families of a registry.
pub(super) struct Page<'a> {
    pub(super) families: &'a [MetricFamily],
    pub(super) remembering: &'a [Arc<dyn Remembers>],
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for family in self.families {
            self.family(family, f)?;
        }
        f.write_str("# EOF\n")
    }
}

impl Page<'_> {
    fn family(&self, family: &MetricFamily, f: &mut Formatter<'_>) -> fmt::Result {
        let (kind, name) = match family.get_field_type() {
            MetricType::COUNTER => ("counter", family.name().strip_suffix("_total").unwrap_or(family.name())),
            MetricType::GAUGE => ("gauge", family.name()),
            MetricType::HISTOGRAM => ("histogram", family.name()),
            // No collector here makes another kind.
            MetricType::SUMMARY | MetricType::UNTYPED => return Ok(()),
        };
        writeln!(f, "# TYPE {name} {kind}")?;
        let has = |unit: &&&str| name.strip_suffix(**unit).is_some_and(|rest| rest.ends_with('_'));
        if let Some(unit) = UNITS.iter().find(has) {
            writeln!(f, "# UNIT {name} {unit}")?;
        }
        writeln!(f, "# HELP {name} {}", Escaped(family.help()))?;
        let remembering = self.remembering.iter().find(|remembering| remembering.name() == name);
        for metric in family.get_metric() {
            let labels = Labels(metric.get_label(), None);
            match family.get_field_type() {
                MetricType::COUNTER => {
                    writeln!(f, "{name}_total{labels} {}", Number(metric.get_counter().get_value()))?;
                }
                MetricType::GAUGE => {
                    writeln!(f, "{name}{labels} {}", Number(metric.get_gauge().get_value()))?
                }
                MetricType::HISTOGRAM => {
                    let exemplars = remembering.map(|family| family.exemplars(metric.get_label()));
                    histogram(name, metric, &exemplars.unwrap_or_default(), f)?;
                }
                MetricType::SUMMARY | MetricType::UNTYPED => {}
            }
        }
        Ok(())
    }
}

fn histogram(
    name: &str,
    metric: &Metric,
    exemplars: &[Option<Exemplar>],
    f: &mut Formatter<'_>,
) -> fmt::Result {
    let (histogram, labels) = (metric.get_histogram(), metric.get_label());
    let finite = histogram.get_bucket().iter().filter(|bucket| bucket.upper_bound().is_finite());
    let buckets = finite.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let all = buckets.chain([(f64::INFINITY, histogram.get_sample_count())]);
    for (bucket, (bound, count)) in all.enumerate() {
        write!(f, "{name}_bucket{} {count}", Labels(labels, Some(("le", bound))))?;
        if let Some(Some(exemplar)) = exemplars.get(bucket) {
            let Exemplar { trace, span, seconds, at } = exemplar;
            let at = at.as_secs_f64();
            write!(f, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {} {at:.3}", Number(*seconds))?;
        }
        writeln!(f)?;
    }
    let labels = Labels(labels, None);
    writeln!(f, "{name}_count{labels} {}", histogram.get_sample_count())?;
    writeln!(f, "{name}_sum{labels} {}", Number(histogram.get_sample_sum()))
}

/// The labels of a series, and one more with a number as its value.
struct Labels<'a>(&'a [LabelPair], Option<(&'a str, f64)>);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut before = "{";
        for label in self.0 {
            write!(f, "{before}{}=\"{}\"", label.name(), Escaped(label.value()))?;
            before = ",";
        }
        if let Some((name, number)) = self.1 {
            write!(f, "{before}{name}=\"{}\"", Number(number))?;
            before = ",";
        }
        if before == "," { f.write_str("}") } else { Ok(()) }
    }
}

/// A number in the form that the specification calls canonical: `1.0`, `0.005`, `1e+06`, `1e-05`, `+Inf`.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if number == f64::INFINITY => f.write_str("+Inf"),
            number if number == f64::NEG_INFINITY => f.write_str("-Inf"),
            number if number != 0.0 && !(1e-4..1e6).contains(&number.abs()) && number.is_finite() => {
                let text = format!("{number:e}");
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                match exponent.strip_prefix('-') {
                    Some(digits) => write!(f, "{mantissa}e-{digits:0>2}"),
                    None => write!(f, "{mantissa}e+{exponent:0>2}"),
                }
            }
            number => write!(f, "{number:?}"),
        }
    }
}

/// The text of a help or of a label's value.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str(r"\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str(r"\n"),
            letter => write!(f, "{letter}"),
        })
    }
}

#[cfg(test)]
mod tests;
