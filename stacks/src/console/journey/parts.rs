//! Spans and log lines as the page gets them.

use std::{cmp::Ordering, collections::BTreeMap, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{logs::Line, trace::Span};

/// A span.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SpanView {
    id: String,
    parent: Option<String>,
    links: Vec<String>,
    service: String,
    name: String,
    kind: String,
    /// Milliseconds since the Unix epoch.
    start: f64,
    /// Milliseconds.
    took: f64,
    attributes: BTreeMap<String, Value>,
    error: Option<String>,
}

impl From<Span> for SpanView {
    fn from(span: Span) -> Self {
        Self {
            id: span.id,
            parent: span.parent,
            links: span.links,
            service: span.service,
            name: span.name,
            kind: span.kind,
            start: milliseconds(span.start),
            took: milliseconds(span.duration),
            attributes: span.attributes,
            error: span.error,
        }
    }
}

/// A log line.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct LineView {
    /// Milliseconds since the Unix epoch.
    at: Option<f64>,
    pub(super) service: String,
    message: String,
    fields: Map<String, Value>,
}

impl LineView {
    /// By time; equal lines are neighbours.
    pub(super) fn order_by(&self, other: &Self) -> Ordering {
        let by_time = self.at.partial_cmp(&other.at).unwrap_or(Ordering::Equal);
        by_time.then_with(|| (&self.service, &self.message).cmp(&(&other.service, &other.message)))
    }
}

impl From<Line> for LineView {
    fn from(line: Line) -> Self {
        let at = line.time.map(|time| time.unix_timestamp_nanos() as f64 / 1e6);
        Self { at, service: line.service, message: line.message, fields: line.fields }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
