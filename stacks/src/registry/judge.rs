//! Compares spans, log lines and data points with their definitions. Each deviation is a sentence that names the entry.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::model::{Entry, Instrument, Level, Registry, SpanType, Type, Use};
use crate::http::plain;

/// Fields of a line that are its form: over OTLP, these are no attributes.
pub const FORM: [&str; 6] = ["@timestamp", "ecs.version", "log.level", "message", "span.id", "trace.id"];

/// The crates whose lines have definitions; those of libraries have none.
const CRATES: [&str; 6] = ["gateway", "payment", "mailer", "service", "store", "telemetry"];

/// How a source keeps attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// As they were sent.
    Exact,
    /// Some values are texts: a text that reads as a number counts as one.
    Texts,
    /// As texts, and mixed with attributes of the source.
    Mixed,
}

/// A data point over OTLP, or all of one metric that have the same attributes.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The name of the metric.
    pub name: String,
    /// The unit.
    pub unit: String,
    /// The instrument; none where no instrument makes such data.
    pub instrument: Option<Instrument>,
    /// The attributes.
    pub attributes: Map<String, Value>,
}

impl Registry {
    /// The deviations of a span.
    pub fn span<'a>(
        &self,
        (service, kind, name): (&str, &str, &str),
        attributes: impl IntoIterator<Item = (&'a String, &'a Value)>,
        source: Source,
    ) -> Vec<String> {
        let attributes: BTreeMap<&str, &Value> =
            attributes.into_iter().map(|(key, value)| (key.as_str(), value)).collect();
        let what = format!("the span {service} {kind} `{name}`");
        let is_it = |span: &&SpanType| {
            span.kind == kind
                && span.entry.is_of(service)
                && span.names.iter().any(|form| expanded(form, &attributes) == name)
        };
        match self.spans.iter().find(is_it) {
            Some(span) => deviations(&what, &span.entry, &attributes, source),
            None => vec![format!("{what} is not in the registry")],
        }
    }

    /// The deviations of a line; none of a line that a library has logged.
    pub fn line(
        &self,
        service: &str,
        message: &str,
        fields: &Map<String, Value>,
        source: Source,
    ) -> Vec<String> {
        let logger = fields.get("log.logger").map(plain).unwrap_or_default();
        if !CRATES.contains(&logger.split("::").next().unwrap_or_default()) {
            return Vec::new();
        }
        let what = format!("the line {service} `{message}`");
        let Some(event) = self.events.iter().find(|event| event.message == message) else {
            return vec![format!("{what} is not in the registry")];
        };
        let attributes = fields.iter().filter(|(key, _)| !FORM.contains(&key.as_str()));
        let attributes = attributes.map(|(key, value)| (key.as_str(), value)).collect();
        let mut found = deviations(&what, &event.entry, &attributes, source);
        let level = fields.get("log.level").map(plain).unwrap_or_default();
        if !event.levels.contains(&level) {
            found.push(format!("{what} has the level {level:?}, and {} has not", event.entry.id));
        }
        found
    }

    /// The deviations of data points over OTLP.
    pub fn point(&self, service: &str, point: &Point) -> Vec<String> {
        let what = format!("the metric {} of {service}", point.name);
        let Some(metric) = self.metrics.iter().find(|metric| metric.name == point.name) else {
            return vec![format!("{what} is not in the registry")];
        };
        let attributes = point.attributes.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let mut found = deviations(&what, &metric.entry, &attributes, Source::Exact);
        let id = &metric.entry.id;
        if metric.unit != point.unit {
            found.push(format!("{what} has the unit {:?}, and {id} has {:?}", point.unit, metric.unit));
        }
        if point.instrument != Some(metric.instrument) {
            let sent = point.instrument.map_or_else(|| "unknown".to_owned(), |sent| format!("{sent:?}"));
            found.push(format!("{what} has the instrument {sent}, and {id} has {:?}", metric.instrument));
        }
        if !metric.entry.is_of(service) {
            found.push(format!("{what} is not among the services of {id}"));
        }
        found
    }

    /// The deviations of the resource of a service.
    pub fn resource(&self, service: &str, attributes: &Map<String, Value>) -> Vec<String> {
        let attributes = attributes.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let found = self.resource.as_ref().map(|entry| {
            deviations(&format!("the resource of {service}"), entry, &attributes, Source::Exact)
        });
        found.unwrap_or_default()
    }
}

/// A name with the values of attributes in place of their names.
fn expanded(form: &str, attributes: &BTreeMap<&str, &Value>) -> String {
    let mut parts = form.split('{');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (key, rest) = part.split_once('}').unwrap_or((part, ""));
        name += &attributes.get(key).map(|value| plain(value)).unwrap_or_default();
        name += rest;
    }
    name
}

fn deviations(what: &str, entry: &Entry, attributes: &BTreeMap<&str, &Value>, source: Source) -> Vec<String> {
    let id = &entry.id;
    let mut found = Vec::new();
    for used in &entry.uses {
        match attributes.get(used.key.as_str()) {
            None if used.level == Level::Required => {
                found.push(format!("{what} lacks {}, which {id} requires", used.key));
            }
            Some(value) => found.extend(
                deviation(used, value, source)
                    .map(|sentence| format!("{what} has {} = {value}: {sentence} by {id}", used.key)),
            ),
            None => {}
        }
    }
    let is_unknown =
        |key: &&&str| source != Source::Mixed && !entry.uses.iter().any(|used| used.key == ***key);
    found.extend(
        attributes.keys().filter(is_unknown).map(|key| format!("{what} has {key}, and {id} has not")),
    );
    found
}

/// What is wrong with a value.
fn deviation(used: &Use, value: &Value, source: Source) -> Option<String> {
    let text = plain(value);
    let may_be_text = source != Source::Exact;
    let has_type = match used.kind {
        Type::Boolean => value.is_boolean() || may_be_text && text.parse::<bool>().is_ok(),
        Type::Double => value.is_number() || may_be_text && text.parse::<f64>().is_ok(),
        Type::Int => value.is_i64() || value.is_u64() || may_be_text && text.parse::<i64>().is_ok(),
        Type::String => value.is_string(),
    };
    if !has_type {
        return Some(format!("no {}", format!("{:?}", used.kind).to_lowercase()));
    }
    let is_listed = used.values.is_empty() || used.values.contains_key(&text);
    (!is_listed).then(|| "not one of the values".to_owned())
}
