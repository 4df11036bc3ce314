//! The definitions of the registry, with all references resolved.

use std::collections::BTreeMap;

pub use super::format::{Instrument, Level, Type};

/// An attribute.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// The name.
    pub key: String,
    /// The type of its values.
    pub kind: Type,
    /// What it is.
    pub brief: String,
    /// All values, with what they mean; empty where values are not listed.
    pub values: BTreeMap<String, String>,
    /// The group that defines it.
    pub group: String,
}

/// An attribute of a signal.
#[derive(Clone, Debug)]
pub struct Use {
    /// The name.
    pub key: String,
    /// The type of its values.
    pub kind: Type,
    /// Whether the signal must have it.
    pub level: Level,
    /// What it is in this signal, where that is not what it is everywhere.
    pub brief: Option<String>,
    /// All values in this signal, with what they mean; empty where values are not listed.
    pub values: BTreeMap<String, String>,
}

/// What all signals have.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The id of the group.
    pub id: String,
    /// What it is.
    pub brief: String,
    /// The services that have it; empty for all.
    pub services: Vec<String>,
    /// The attributes.
    pub uses: Vec<Use>,
}

/// A metric.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Its id, services and attributes.
    pub entry: Entry,
    /// The name over OTLP.
    pub name: String,
    /// The name on `/metrics`.
    pub page_name: String,
    /// The instrument.
    pub instrument: Instrument,
    /// The unit over OTLP, by the Unified Code for Units of Measure.
    pub unit: String,
    /// The attributes by their labels on `/metrics`; those that the name implies have none.
    pub labels: BTreeMap<String, Use>,
}

/// A kind of span.
#[derive(Clone, Debug)]
pub struct SpanType {
    /// Its id, services and attributes.
    pub entry: Entry,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: String,
    /// The forms of its name, with attributes in braces.
    pub names: Vec<String>,
}

/// A log event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id, services and attributes.
    pub entry: Entry,
    /// The text of its line.
    pub message: String,
    /// The levels of its line.
    pub levels: Vec<String>,
}

/// All definitions.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Ours, and those of the semantic conventions that ours refer to, by name.
    pub attributes: BTreeMap<String, Attribute>,
    /// The metrics, in the order of the files.
    pub metrics: Vec<Metric>,
    /// The kinds of spans.
    pub spans: Vec<SpanType>,
    /// The log events.
    pub events: Vec<Event>,
    /// The resource of all signals.
    pub resource: Option<Entry>,
}

impl Entry {
    /// True if a service has this signal.
    pub fn is_of(&self, service: &str) -> bool {
        self.services.is_empty() || self.services.iter().any(|named| named == service)
    }
}

impl Metric {
    /// The names of its samples on `/metrics`.
    pub fn samples(&self) -> Vec<String> {
        match self.instrument {
            Instrument::Histogram => {
                ["_bucket", "_count", "_sum"].map(|end| self.page_name.clone() + end).into()
            }
            _ => vec![self.page_name.clone()],
        }
    }
}
