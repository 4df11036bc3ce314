//! What the services write, beside what Elasticsearch is told of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use testkit::wait::eventually;

use crate::harness::System;

/// Crates whose log lines are ours; the others are libraries, and name their fields as they like.
const OURS: [&str; 6] = ["gateway", "mailer", "payment", "payment_api", "store", "telemetry"];

/// Types by field, from the index template of the ELK stack.
fn mapped() -> BTreeMap<String, String> {
    let template: Value =
        serde_json::from_str(include_str!("../../elk/elasticsearch/index-template.json")).unwrap();
    let properties = template["template"]["mappings"]["properties"].as_object().unwrap();
    properties.iter().map(|(field, it)| (field.clone(), it["type"].as_str().unwrap().to_owned())).collect()
}

/// The texts that Kibana's objects ask a field for, at whatever depth of JSON.
fn asked_for(field: &str) -> BTreeSet<String> {
    let objects = include_str!("../../elk/kibana/objects.ndjson");
    let asks = format!("{field} : ");
    let texts = objects.split(&asks).skip(1).filter(|asked| asked.starts_with('\\'));
    texts.map(|text| text.trim_start_matches(['\\', '"']).split('\\').next().unwrap().to_owned()).collect()
}

fn text(line: &str, field: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    line[field].as_str().unwrap().to_owned()
}

/// Whether a value is what a type is for; a string that is taken for a number would be one only by luck.
fn fits(value: &Value, kind: &str) -> bool {
    match kind {
        "long" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        _ => value.is_string(),
    }
}

#[tokio::test]
async fn log_lines_have_the_types_that_elasticsearch_is_told_and_say_what_kibana_asks_for() {
    let system = System::start().await;
    let order = system.place().await;
    system.order("nobody").await;
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
        let said: BTreeSet<String> = lines.iter().map(|line| text(line, field)).collect();
        let asked = asked_for(field);
        let never = asked.difference(&said).collect::<Vec<_>>();
        assert!(asked.len() >= 3 && never.is_empty(), "{field}: Kibana asks for {never:?} of {asked:?}");
    }
    let mapped = mapped();
    for line in lines {
        let fields: Map<String, Value> = serde_json::from_str(&line).unwrap();
        let is_of_a_library =
            !OURS.contains(&fields["log.logger"].as_str().unwrap().split("::").next().unwrap());
        for (field, value) in &fields {
            let is_object = mapped.keys().any(|other| other.starts_with(&format!("{field}.")));
            match mapped.get(field) {
                // Filebeat leaves out what is null.
                Some(kind) => assert!(value.is_null() || fits(value, kind), "{field} is no {kind}: {line}"),
                // A text becomes a keyword; where an object is expected it would be refused, so Logstash renames `error`.
                None => {
                    assert!(is_of_a_library && value.is_string(), "{field} has no type: {line}");
                    assert!(!is_object || field == "error", "{field} is an object in other lines: {line}");
                }
            }
        }
    }
}
