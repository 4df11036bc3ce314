//! The log lines of the services fit the index template and the saved objects of the ELK stack.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use testkit::wait::eventually;

use crate::harness::System;

/// The crates of this workspace. Other loggers are libraries, whose field names are theirs.
const OURS: [&str; 6] = ["gateway", "mailer", "payment", "payment_api", "store", "telemetry"];

/// Types by field, from the index template of the ELK stack.
fn mapped() -> BTreeMap<String, String> {
    let template: Value =
        serde_json::from_str(include_str!("../../elk/elasticsearch/index-template.json")).unwrap();
    let properties = template["template"]["mappings"]["properties"].as_object().unwrap();
    properties.iter().map(|(field, it)| (field.clone(), it["type"].as_str().unwrap().to_owned())).collect()
}

/// The values that Kibana's saved objects query a field for, at any depth of JSON.
fn queried(field: &str) -> BTreeSet<String> {
    let objects = include_str!("../../elk/kibana/objects.ndjson");
    let start = format!("{field} : ");
    let texts = objects.split(&start).skip(1).filter(|text| text.starts_with('\\'));
    texts.map(|text| text.trim_start_matches(['\\', '"']).split('\\').next().unwrap().to_owned()).collect()
}

fn text(line: &str, field: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line[field].as_str().unwrap().to_owned()
}

/// True if a value has the JSON type of a field type; a string with digits is no number.
fn fits(value: &Value, kind: &str) -> bool {
    match kind {
        "long" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        _ => value.is_string(),
    }
}

#[tokio::test]
async fn log_lines_fit_elasticsearch_types_and_kibana_queries() {
    let system = System::start().await;
    let order = system.place().await;
    system.order("unknown").await;
    let lines = eventually("the e-mail of the order in the log", async || {
        let lines: Vec<String> = ["order-gateway", "payment-service", "email-service"]
            .iter()
            .flat_map(|s| system.log(s))
            .collect();
        match lines.iter().any(|line| line.contains("\"e-mail sent\"") && line.contains(&order.id)) {
            true => Ok(lines),
            false => Err(format!("{} lines", lines.len())),
        }
    })
    .await;
    for field in ["message", "service.name"] {
        let logged: BTreeSet<String> = lines.iter().map(|line| text(line, field)).collect();
        let queried = queried(field);
        let missing = queried.difference(&logged).collect::<Vec<_>>();
        assert!(
            queried.len() >= 3 && missing.is_empty(),
            "{field}: Kibana queries {missing:?} of {queried:?}, which no line has"
        );
    }
    let mapped = mapped();
    for line in lines {
        let fields: Map<String, Value> = serde_json::from_str(&line).unwrap();
        let is_of_a_library =
            !OURS.contains(&fields["log.logger"].as_str().unwrap().split("::").next().unwrap());
        for (field, value) in &fields {
            let is_object = mapped.keys().any(|other| other.starts_with(&format!("{field}.")));
            match mapped.get(field) {
                // Filebeat omits null.
                Some(kind) => assert!(value.is_null() || fits(value, kind), "{field} is no {kind}: {line}"),
                // A string becomes a keyword. Where an object is mapped it would be refused: Logstash renames `error`.
                None => {
                    assert!(is_of_a_library && value.is_string(), "{field} has no type: {line}");
                    assert!(!is_object || field == "error", "{field} is an object in other lines: {line}");
                }
            }
        }
    }
}
