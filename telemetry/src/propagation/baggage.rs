//! W3C baggage by the SDK's propagator, with the escapes that it leaves out.

use opentelemetry::Context;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry_sdk::propagation::BaggagePropagator;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What is no `baggage-octet` of the W3C, and the percent sign of the escapes themselves.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(b',').add(b';').add(b'\\');

/// The SDK's [`BaggagePropagator`], which ends a value at its first `=` and writes `%` as it is, so that the next
/// process would decode another value.
#[derive(Debug, Default)]
pub(super) struct EscapingBaggagePropagator(BaggagePropagator);

impl TextMapPropagator for EscapingBaggagePropagator {
    fn inject_context(&self, context: &Context, injector: &mut dyn Injector) {
        let members = context.baggage().into_iter().map(|(key, (value, _))| {
            format!(
                "{}={}",
                utf8_percent_encode(key.as_str(), ESCAPED),
                utf8_percent_encode(value.as_str(), ESCAPED)
            )
        });
        let members: Vec<_> = members.collect();
        if !members.is_empty() {
            injector.set("baggage", members.join(","));
        }
    }

    fn extract_with_context(&self, context: &Context, extractor: &dyn Extractor) -> Context {
        let Some(value) = extractor.get("baggage") else { return context.clone() };
        let members = value.split(',').map(|member| match member.split_once('=') {
            Some((key, value)) => format!("{key}={}", value.replace('=', "%3D")),
            None => member.to_owned(),
        });
        self.0.extract_with_context(context, &Escaped(members.collect::<Vec<_>>().join(",")))
    }

    fn fields(&self) -> FieldIter<'_> {
        self.0.fields()
    }
}

struct Escaped(String);

impl Extractor for Escaped {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "baggage").then_some(&self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec!["baggage"]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_value_survives_being_read_and_written() {
        for value in ["a=b%2541", "%25", "a%20b", "plain", "%2C%3B%22"] {
            let propagator = EscapingBaggagePropagator::default();
            let sent = HashMap::from([("baggage".to_owned(), format!("tenant={value}"))]);
            let mut written = HashMap::new();
            propagator.inject_context(&propagator.extract(&sent), &mut written);
            assert_eq!(written, sent);
        }
    }
}
