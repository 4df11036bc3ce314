//! The registry of telemetry against all that a real system has left: nothing deviates, and each mistake that is planted in
//! the registry is caught by a signal.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value};
use stacks::{
    local::layout::Component::{Gateway, Mailer, Payment},
    registry::{
        Registry, Source,
        read::{CONVENTIONS, FOLDER, read},
    },
    trace::Trace,
};

use crate::harness::System;

/// The files of the registry, by path.
fn files() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let entries = fs::read_dir(root.join(FOLDER)).unwrap();
    let names = entries.map(|entry| format!("{FOLDER}{}", entry.unwrap().file_name().to_str().unwrap()));
    names
        .chain([CONVENTIONS.to_owned()])
        .map(|name| (name.clone(), fs::read_to_string(root.join(name)).unwrap()))
        .collect()
}

fn registry(files: &BTreeMap<String, String>) -> Registry {
    let values: Vec<(&str, Value)> =
        files.iter().map(|(name, text)| (name.as_str(), serde_saphyr::from_str(text).unwrap())).collect();
    let (registry, mistakes) = read(values.iter().map(|(name, value)| (*name, value)));
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    registry
}

/// What one order has left.
struct Signals {
    trace: Trace,
    lines: Vec<(&'static str, Map<String, Value>)>,
    pages: BTreeMap<&'static str, String>,
}

impl Signals {
    async fn of(system: &System) -> Self {
        let order = system.place().await;
        system.email(&order.id).await;
        system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
        let (mut lines, mut pages) = (Vec::new(), BTreeMap::new());
        for (component, service) in
            [(Gateway, "order-gateway"), (Payment, "payment-service"), (Mailer, "email-service")]
        {
            let read = |line: String| (service, serde_json::from_str(&line).expect("a torn line"));
            lines.extend(system.log(service).into_iter().map(read));
            pages.insert(service, system.metrics_text(component).await);
        }
        Self { trace: system.trace(&order.trace).await, lines, pages }
    }

    fn deviations(&self, registry: &Registry) -> Vec<String> {
        let mut found = registry.missing(&self.pages);
        found.extend(self.pages.iter().flat_map(|(service, page)| registry.page(service, page)));
        found.extend(self.trace.spans.iter().flat_map(|span| {
            let signal = (span.service.as_str(), span.kind.as_str(), span.name.as_str());
            registry.span(signal, &span.attributes, Source::Texts)
        }));
        found.extend(self.lines.iter().flat_map(|(service, line)| {
            registry.line(service, line["message"].as_str().unwrap(), line, Source::Exact)
        }));
        found
    }
}

/// The file, the text that is replaced, its replacement, and a part of the expected deviation.
#[rustfmt::skip]
const PLANTED: [(&str, &str, &str, &str); 18] = [
    // A metric: removed, renamed, of another unit, instrument or service.
    ("order", "  - id: metric.circuit_breaker.open\n    type: metric\n    metric_name: circuit_breaker_open\n    instrument: gauge\n    unit: \"\"\n    stability: stable\n    brief: 1 while orders are refused because payment does not answer.\n    annotations: {services: [order-gateway]}\n", "", "metric circuit_breaker_open of order-gateway is not in the registry"),
    ("email", "metric_name: inbox_queued", "metric_name: inbox_queue", "metric inbox_queued of email-service is not in the registry"),
    ("email", "metric_name: inbox_queued", "metric_name: inbox_queue", "email-service has no metric inbox_queue of metric.inbox.queued"),
    ("messaging", "metric_name: outbox_oldest_age\n    instrument: gauge\n    unit: s", "metric_name: outbox_oldest_age\n    instrument: gauge\n    unit: By", "metric outbox_oldest_age_seconds of payment-service is not in the registry"),
    ("service", "metric_name: process.thread.count\n    instrument: updowncounter", "metric_name: process.thread.count\n    instrument: histogram", "metric process_threads of email-service is a gauge, and metric.process.thread.count has Histogram"),
    ("order", "services: [payment-service]}\n    attributes:\n      - ref: outcome", "services: [email-service]}\n    attributes:\n      - ref: outcome", "metric payment_processed_total of payment-service is not among the services of metric.payment.processed"),
    // A label: removed, renamed, of other values.
    ("email", "annotations: {values: {sent: \"\", retried: \"\", dead: \"\"}}", "annotations: {values: {sent: \"\", dead: \"\"}}", "metric emails_sent_total of email-service has outcome=\"retried\""),
    ("http", "http.route: route", "http.route: path", "metric http_request_duration_seconds of order-gateway lacks the label path"),
    ("telemetry", "attributes:\n      - {ref: signal, requirement_level: required}\n\n  - id: metric.telemetry.recovered", "attributes: []\n\n  - id: metric.telemetry.recovered", "metric telemetry_recorded_total of order-gateway has the label signal"),
    // A span: renamed, of another kind.
    ("email", "names: [send email]", "names: [send mail]", "span email-service client `send email` is not in the registry"),
    ("messaging", "span_kind: producer", "span_kind: client", "span payment-service producer `publish checkout:payment.succeeded` is not in the registry"),
    // An attribute of a span: required and absent, removed, of another type.
    ("http", "{ref: server.port, requirement_level: recommended}", "{ref: url.full, requirement_level: required}", "span order-gateway server `POST /create-order` lacks url.full, which span.http.server requires"),
    ("email", "      - {ref: email.attempt, requirement_level: required}\n", "", "span email-service client `send email` has email.attempt, and span.email.send has not"),
    ("order", "- id: order.id\n        type: string", "- id: order.id\n        type: int", "span payment-service internal `settle payment` has order.id"),
    // A log event: renamed, of another level; an attribute of another type, and one that is required and absent.
    ("email", "message: e-mail sent", "message: e-mail posted", "line email-service `e-mail sent` is not in the registry"),
    ("order", "message: order placed, levels: [info]", "message: order placed, levels: [warn]", "line order-gateway `order placed` has the level \"info\""),
    ("order", "- id: order.replayed\n        type: boolean", "- id: order.replayed\n        type: int", "line order-gateway `order placed` has order.replayed = false: no int by event.order.placed"),
    ("service", "{ref: service.environment, requirement_level: recommended}", "{ref: host.name, requirement_level: required}", "line payment-service `payment settled` lacks host.name, which event.payment.settled requires"),
];

#[tokio::test]
async fn a_system_keeps_the_registry_and_catches_mistakes_in_it() {
    let system = System::start().await;
    let signals = Signals::of(&system).await;
    let files = files();
    let found = signals.deviations(&registry(&files));
    assert!(found.is_empty(), "{found:#?}");
    for (file, good, bad, expected) in PLANTED {
        let mut planted = files.clone();
        let text = planted.get_mut(&format!("{FOLDER}{file}.yaml")).unwrap();
        assert!(text.contains(good), "{file}.yaml has no {good:?}");
        *text = text.replacen(good, bad, 1);
        let found = signals.deviations(&registry(&planted));
        assert!(
            found.iter().any(|what| what.contains(expected)),
            "{bad:?}: no {expected:?} among {found:#?}"
        );
    }
}
