//! A trace, whatever backend keeps it, and what the trace of an order must contain.

mod tree;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;

/// The spans of an order that went all the way: service, kind, name.
pub const ORDER: [(&str, &str, &str); 6] = [
    ("order-gateway", "server", "POST /create-order"),
    ("order-gateway", "client", "POST /process-payment"),
    ("payment-service", "server", "POST /process-payment"),
    ("payment-service", "producer", "publish checkout:payment.succeeded"),
    ("email-service", "consumer", "process checkout:payment.succeeded:mailer.payments"),
    ("email-service", "client", "send email"),
];

/// Everything that was recorded under one trace id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Its spans, in the order of their start.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// 16 hexadecimal digits.
    pub id: String,
    /// The span it is a child of; that one may be elsewhere or not have arrived yet.
    pub parent: Option<String>,
    /// The spans that it is linked to.
    pub links: Vec<String>,
    /// `service.name` of the process that recorded it.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// `server`, `client`, `producer`, `consumer` or `internal`.
    pub kind: String,
    /// Since the Unix epoch.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// Its attributes, without those that the fields above carry.
    pub attributes: BTreeMap<String, Value>,
    /// The text of its error status, if it failed.
    pub error: Option<String>,
}

impl Trace {
    /// The first span of this service, kind and name.
    pub fn find(&self, (service, kind, name): (&str, &str, &str)) -> Option<&Span> {
        self.spans.iter().find(|span| span.service == service && span.kind == kind && span.name == name)
    }

    /// Which spans of an [order](ORDER) are not there (yet).
    pub fn missing(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        ORDER.into_iter().filter(|named| self.find(*named).is_none()).collect()
    }

    /// Whether one of its spans is below another, at any depth.
    pub fn descends(&self, span: &Span, ancestor: &Span) -> bool {
        let mut below = span;
        // As many steps as there are spans, should what came in go round in a circle.
        for _ in &self.spans {
            let Some(parent) = self.parent(below) else { return false };
            if parent.id == ancestor.id {
                return true;
            }
            below = parent;
        }
        false
    }

    /// The spans whose parent is not there (yet).
    pub fn orphans(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| span.parent.is_some() && self.parent(span).is_none())
    }

    fn parent(&self, span: &Span) -> Option<&Span> {
        self.spans.iter().find(|other| span.parent.as_deref() == Some(&other.id))
    }

    /// The services that took part.
    pub fn services(&self) -> BTreeSet<&str> {
        self.spans.iter().map(|span| span.service.as_str()).collect()
    }

    /// When its first span starts.
    pub fn start(&self) -> Duration {
        self.spans.iter().map(|span| span.start).min().unwrap_or_default()
    }

    /// From the start of the first to the end of the last span.
    pub fn duration(&self) -> Duration {
        let end = self.spans.iter().map(|span| span.start + span.duration).max().unwrap_or_default();
        end.saturating_sub(self.start())
    }
}
