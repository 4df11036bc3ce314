//! A trace, independent of its backend, and the spans that an order must have.

mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

/// The spans of a completed order: service, kind, name.
pub const ORDER: [(&str, &str, &str); 6] = [
    ("order-gateway", "server", "POST /create-order"),
    ("order-gateway", "client", "POST /process-payment"),
    ("payment-service", "server", "POST /process-payment"),
    ("payment-service", "producer", "publish checkout:payment.succeeded"),
    ("email-service", "consumer", "process checkout:payment.succeeded:mailer.payments"),
    ("email-service", "client", "send email"),
];

/// The spans with one trace id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The trace id: 32 hexadecimal digits.
    pub id: String,
    /// The spans by start time.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// The span id: 16 hexadecimal digits.
    pub id: String,
    /// The id of the parent, which may be absent from the trace.
    pub parent: Option<String>,
    /// The ids of linked spans.
    pub links: Vec<String>,
    /// `service.name` of the process that recorded it.
    pub service: String,
    /// The name.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: String,
    /// The start, since the Unix epoch.
    pub start: Duration,
    /// The duration.
    pub duration: Duration,
    /// The attributes, without those of the fields above.
    pub attributes: BTreeMap<String, Value>,
    /// The text of an error status.
    pub error: Option<String>,
}

impl Trace {
    /// The first span of this service, kind and name.
    pub fn find(&self, (service, kind, name): (&str, &str, &str)) -> Option<&Span> {
        self.spans.iter().find(|span| span.service == service && span.kind == kind && span.name == name)
    }

    /// The spans of an [order](ORDER) that have not arrived.
    pub fn missing(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        ORDER.into_iter().filter(|named| self.find(*named).is_none()).collect()
    }

    /// True if a span is a descendant of another.
    pub fn descends(&self, span: &Span, ancestor: &Span) -> bool {
        let mut below = span;
        // At most as many steps as there are spans: a backend may return a circle.
        for _ in &self.spans {
            let Some(parent) = self.parent(below) else { return false };
            if parent.id == ancestor.id {
                return true;
            }
            below = parent;
        }
        false
    }

    /// The spans whose parent has not arrived.
    pub fn orphans(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| span.parent.is_some() && self.parent(span).is_none())
    }

    fn parent(&self, span: &Span) -> Option<&Span> {
        self.spans.iter().find(|other| span.parent.as_deref() == Some(&other.id))
    }

    /// The services with spans.
    pub fn services(&self) -> BTreeSet<&str> {
        self.spans.iter().map(|span| span.service.as_str()).collect()
    }

    /// The start of the first span.
    pub fn start(&self) -> Duration {
        self.spans.iter().map(|span| span.start).min().unwrap_or_default()
    }

    /// From the start of the first to the end of the last span.
    pub fn duration(&self) -> Duration {
        let end = self.spans.iter().map(|span| span.start + span.duration).max().unwrap_or_default();
        end.saturating_sub(self.start())
    }
}
