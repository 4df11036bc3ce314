//! The files of the registry as they are written: groups of version 1 of OpenTelemetry's semantic-convention format. A key
//! that is not listed here is an error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A definition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) brief: String,
    #[serde(rename = "note")]
    _note: Option<String>,
    pub(super) stability: Option<String>,
    /// A group whose attributes belong to this one, too.
    pub(super) extends: Option<String>,
    #[serde(default)]
    pub(super) attributes: Vec<Attribute>,
    pub(super) span_kind: Option<String>,
    pub(super) metric_name: Option<String>,
    pub(super) instrument: Option<Instrument>,
    pub(super) unit: Option<String>,
    /// Of an event or an entity.
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) annotations: Annotations,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    AttributeGroup,
    Entity,
    Event,
    Metric,
    Span,
}

/// The instrument of a metric.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Instrument {
    /// A sum that only grows.
    Counter,
    /// A value of the present.
    Gauge,
    /// A distribution.
    Histogram,
    /// A sum that grows and shrinks.
    UpDownCounter,
}

/// The definition of an attribute (`id`), or its use in a group (`ref`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attribute {
    pub(super) id: Option<String>,
    #[serde(rename = "ref")]
    pub(super) used: Option<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<Type>,
    pub(super) brief: Option<String>,
    pub(super) requirement_level: Option<Level>,
    #[serde(rename = "stability")]
    _stability: Option<String>,
    #[serde(rename = "examples")]
    _examples: Option<Value>,
    #[serde(rename = "role")]
    _role: Option<String>,
    #[serde(default)]
    pub(super) annotations: AttributeAnnotations,
}

/// The type of an attribute.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// `true` or `false`.
    Boolean,
    /// A floating-point number.
    Double,
    /// A whole number.
    Int,
    /// A text.
    String,
}

/// Whether a signal must have an attribute.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Always.
    Required,
    /// Where a condition is met, which no program can check.
    ConditionallyRequired(String),
    /// Where it is known.
    Recommended,
    /// On request.
    OptIn,
}

/// What the format has no field for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Annotations {
    /// The services that have it; all of them where none is named.
    #[serde(default)]
    pub(super) services: Vec<String>,
    /// The forms of the name of a span, with attributes in braces.
    #[serde(default)]
    pub(super) names: Vec<String>,
    /// The text of a log event.
    pub(super) message: Option<String>,
    /// The levels of a log event.
    #[serde(default)]
    pub(super) levels: Vec<String>,
    #[serde(default)]
    pub(super) prometheus: Prometheus,
}

/// A metric on the pages of the services.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Prometheus {
    /// The name, where it does not follow from that of the metric.
    pub(super) name: Option<String>,
    /// Labels by the attributes that have another name.
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    /// Attributes that the name implies.
    #[serde(default)]
    pub(super) implied: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttributeAnnotations {
    /// All values, with what they mean where the value does not say it.
    #[serde(default)]
    pub(super) values: BTreeMap<String, String>,
}
