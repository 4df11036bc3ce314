//! The files of the registry, mistakes that are planted in them, and data points that deviate from them.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use super::{
    FILES, Point, Registry,
    model::Instrument,
    read::{FOLDER, read},
};

const HTTP: &str = "docs/telemetry/registry/http.yaml";
const ORDER: &str = "docs/telemetry/registry/order.yaml";

/// The registry with one text replaced, and its mistakes.
fn with(file: &str, good: &str, bad: &str) -> (Registry, Vec<String>) {
    let edited = FILES.map(|(name, text)| {
        let text = if name == file { text.replacen(good, bad, 1) } else { text.to_owned() };
        (name, serde_saphyr::from_str::<Value>(&text).unwrap())
    });
    let (registry, mistakes) = read(edited.iter().map(|(name, value)| (*name, value)));
    (registry, mistakes.into_iter().map(|(file, what)| format!("{file}: {what}")).collect())
}

#[test]
fn the_registry_has_no_mistakes_and_no_other_files() {
    let (registry, mistakes) = with("", "", "");
    assert_eq!(mistakes, [""; 0]);
    assert!(registry.resource.is_some() && !registry.spans.is_empty());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FOLDER);
    let there = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = there.filter(|name| name != "manifest.yaml").collect();
    let built_in = FILES.iter().filter_map(|(name, _)| name.strip_prefix(FOLDER)).map(str::to_owned);
    assert_eq!(built_in.collect::<BTreeSet<_>>(), there);
}

/// The file, the text that is replaced, its replacement, and a part of the expected mistake.
const BROKEN: [(&str, &str, &str, &str); 14] = [
    (
        HTTP,
        "span_kind: server",
        "span_kinds: server",
        "span.http.server cannot be read: unknown field `span_kinds`",
    ),
    (HTTP, "type: metric", "type: metrics", "cannot be read: unknown variant `metrics`"),
    (HTTP, "requirement_level: required", "requirement_level: needed", "unknown variant `needed`"),
    (HTTP, "instrument: histogram", "instrument: summary", "unknown variant `summary`"),
    (HTTP, "unit: s", "unit: ms", "metric.http.server.request.duration has the unit \"ms\""),
    (HTTP, "    unit: s\n", "", "metric.http.server.request.duration has no `metric_name`"),
    (HTTP, "name: http_request_duration_seconds", "name: http_request_duration", "has the unit \"s\""),
    (HTTP, "{url.template}", "{url.query}", "is named by url.query, which it does not have"),
    (HTTP, "ref: url.path", "ref: url.paths", "span.http.server refers to url.paths, which is not defined"),
    (HTTP, "http.route: route", "http.routes: route", "has a label for http.routes"),
    (
        HTTP,
        "extends: attributes.line",
        "extends: attributes.lines",
        "extends attributes.lines, which does not exist",
    ),
    (ORDER, "message: payment answered", "message: order placed", "has the message of event.order.placed"),
    (ORDER, "id: order.id", "id: outcome", "registry.order defines outcome, which is defined elsewhere"),
    (ORDER, "id: event.payment.settled", "id: event.order.placed", "event.order.placed is defined twice"),
];

#[test]
fn each_mistake_in_a_file_is_found_with_file_and_entry() {
    for (file, good, bad, expected) in BROKEN {
        let (_, mistakes) = with(file, good, bad);
        let is_it = |mistake: &String| mistake.starts_with(file) && mistake.contains(expected);
        assert!(mistakes.iter().any(is_it), "{bad:?} for {good:?}: no {expected:?} among {mistakes:#?}");
    }
}

fn answered() -> Point {
    let attributes =
        json!({"http.request.method": "GET", "http.route": "/", "http.response.status_code": 200});
    Point {
        name: "http.server.request.duration".into(),
        unit: "s".into(),
        instrument: Some(Instrument::Histogram),
        attributes: attributes.as_object().unwrap().clone(),
    }
}

#[test]
fn a_data_point_must_have_name_unit_instrument_and_attributes() {
    let registry = Registry::built_in();
    let found = |change: fn(&mut Point)| {
        let mut point = answered();
        change(&mut point);
        registry.point("order-gateway", &point)
    };
    assert_eq!(found(|_| {}), [""; 0]);
    for (change, expected) in [
        (
            (|point| point.name.push('s')) as fn(&mut Point),
            "durations of order-gateway is not in the registry",
        ),
        (
            |point| point.unit = "ms".into(),
            "has the unit \"ms\", and metric.http.server.request.duration has \"s\"",
        ),
        (|point| point.instrument = Some(Instrument::Gauge), "has the instrument Gauge"),
        (|point| drop(point.attributes.remove("http.route")), "lacks http.route"),
        (|point| drop(point.attributes.insert("path".into(), json!("/"))), "has path, and"),
        (
            |point| drop(point.attributes.insert("http.response.status_code".into(), json!("200"))),
            "has http.response.status_code = \"200\": no int",
        ),
    ] {
        let found = found(change);
        assert!(found.len() == 1 && found[0].contains(expected), "no {expected:?} in {found:?}");
    }
}
