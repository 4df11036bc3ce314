//! Compares `/metrics` of a service with the registry.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Instrument, Level, Metric, Registry};
use crate::backends::openmetrics::samples;

/// The value of a label that stands for all that are not declared.
const OTHER: &str = "other";

impl Registry {
    /// The metric with this name on `/metrics`, that of its family or of a sample.
    pub fn on_page(&self, name: &str) -> Option<&Metric> {
        let is_it = |metric: &&Metric| {
            name.strip_prefix(metric.page_name.as_str()).is_some_and(|end| {
                end.is_empty()
                    || metric.instrument == Instrument::Histogram
                        && ["_bucket", "_count", "_sum"].contains(&end)
            })
        };
        self.metrics.iter().find(is_it)
    }

    /// The deviations of a page, in the text format of Prometheus or in OpenMetrics.
    pub fn page(&self, service: &str, page: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for (name, kind) in families(page) {
            let what = format!("the metric {name} of {service}");
            let Some(metric) = self.on_page(&name).filter(|metric| metric.page_name == name) else {
                found.insert(format!("{what} is not in the registry"));
                continue;
            };
            let id = &metric.entry.id;
            if kind != kind_of(metric.instrument) {
                found.insert(format!("{what} is a {kind}, and {id} has {:?}", metric.instrument));
            }
            if !metric.entry.is_of(service) {
                found.insert(format!("{what} is not among the services of {id}"));
            }
        }
        for sample in samples(page) {
            let Some(metric) = self.on_page(sample.name) else { continue };
            let (what, id) = (format!("the metric {} of {service}", metric.page_name), &metric.entry.id);
            for (label, value) in sample.labels.iter().filter(|(label, _)| **label != "le") {
                match metric.labels.get(*label) {
                    None => drop(found.insert(format!("{what} has the label {label}, and {id} has not"))),
                    Some(used)
                        if used.values.is_empty() || used.values.contains_key(*value) || *value == OTHER => {}
                    Some(_) => {
                        found.insert(format!("{what} has {label}={value:?}: not one of the values by {id}"));
                    }
                }
            }
            let required = metric.labels.iter().filter(|(_, used)| used.level == Level::Required);
            for (label, _) in required.filter(|(label, _)| !sample.labels.contains_key(label.as_str())) {
                found.insert(format!("{what} lacks the label {label}, which {id} requires"));
            }
        }
        found
    }

    /// The metrics that a service should have and has not, by the pages of all services. A metric of all services may be
    /// missing on some of the pages: it has no series before its first measurement.
    pub fn missing(&self, pages: &BTreeMap<&str, String>) -> Vec<String> {
        let has = |page: &str, metric: &Metric| families(page).any(|(name, _)| name == metric.page_name);
        let mut found = Vec::new();
        for metric in &self.metrics {
            let (name, id) = (&metric.page_name, &metric.entry.id);
            if metric.entry.services.is_empty() && !pages.values().any(|page| has(page, metric)) {
                found.push(format!("no service has the metric {name} of {id}"));
            }
            for service in &metric.entry.services {
                if !pages.get(service.as_str()).is_some_and(|page| has(page, metric)) {
                    found.push(format!("{service} has no metric {name} of {id}"));
                }
            }
        }
        found
    }
}

/// Names and types of the families on a page. OpenMetrics names that of a counter without `_total`.
fn families(page: &str) -> impl Iterator<Item = (String, &str)> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| {
        let ending = if kind == "counter" && !name.ends_with("_total") { "_total" } else { "" };
        (name.to_owned() + ending, kind)
    })
}

fn kind_of(instrument: Instrument) -> &'static str {
    match instrument {
        Instrument::Counter => "counter",
        Instrument::Gauge | Instrument::UpDownCounter => "gauge",
        Instrument::Histogram => "histogram",
    }
}
