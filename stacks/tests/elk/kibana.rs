//! The saved objects for Kibana: their references lead to each other, and their fields exist.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{
    fields::{self, fits},
    json, text,
};

fn objects() -> Vec<Value> {
    text("kibana/objects.ndjson").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn named(object: &Value) -> String {
    format!("{} {}", object["type"].as_str().unwrap(), object["id"].as_str().unwrap())
}

/// JSON in a string, as Kibana stores it.
fn within(object: &Value, pointer: &str) -> Value {
    let text = object.pointer(pointer).and_then(Value::as_str);
    serde_json::from_str(text.unwrap_or_else(|| panic!("{}: no {pointer}", named(object)))).unwrap()
}

/// Every query, at any depth.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            if let (Some(Value::String(query)), Some("kuery")) =
                (object.get("query"), object.get("language").and_then(Value::as_str))
            {
                found.push(query.clone());
            }
            object.values().for_each(|value| queries(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

/// All fields that an object names.
fn fields_of(object: &Value) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    let mut add = |field: &str| _ = fields.insert(field.to_owned());
    let mut kql = Vec::new();
    match object["type"].as_str().unwrap() {
        "index-pattern" => {
            add(object["attributes"]["timeFieldName"].as_str().unwrap());
            for attribute in ["/attributes/fieldFormatMap", "/attributes/fieldAttrs"] {
                within(object, attribute).as_object().unwrap().keys().for_each(|field| add(field));
            }
        }
        "search" => {
            let attributes = &object["attributes"];
            attributes["columns"].as_array().unwrap().iter().for_each(|field| add(field.as_str().unwrap()));
            attributes["sort"].as_array().unwrap().iter().for_each(|sort| add(sort[0].as_str().unwrap()));
            attributes["breakdownField"].as_str().into_iter().for_each(&mut add);
            queries(&within(object, "/attributes/kibanaSavedObjectMeta/searchSourceJSON"), &mut kql);
        }
        "lens" => {
            let state = &object["attributes"]["state"];
            let columns =
                state["datasourceStates"]["formBased"]["layers"]["layer"]["columns"].as_object().unwrap();
            let sources = columns.values().map(|column| column["sourceField"].as_str().unwrap());
            sources.filter(|field| *field != "___records___").for_each(&mut add);
            queries(state, &mut kql);
        }
        "dashboard" => queries(&within(object, "/attributes/panelsJSON"), &mut kql),
        other => panic!("the fields of a {other} are unknown"),
    }
    for query in kql {
        fields::of_query(&query).into_iter().for_each(|field| _ = fields.insert(field.to_owned()));
    }
    fields
}

#[test]
fn every_object_is_unique_and_names_its_migration_version() {
    let objects = objects();
    let names: BTreeSet<String> = objects.iter().map(named).collect();
    assert_eq!(names.len(), objects.len());
    for object in &objects {
        for version in ["coreMigrationVersion", "typeMigrationVersion"] {
            assert!(
                object[version].is_string(),
                "{} lacks {version}, so that Kibana does not migrate it",
                named(object)
            );
        }
        assert!(object["attributes"]["title"].as_str().is_some_and(|title| !title.is_empty()), "{object}");
    }
}

#[test]
fn every_reference_leads_to_an_object() {
    let objects = objects();
    let names: BTreeSet<String> = objects.iter().map(named).collect();
    for object in &objects {
        for reference in object["references"].as_array().unwrap() {
            assert!(names.contains(&named(reference)), "{} refers to {}", named(object), named(reference));
        }
    }
}

#[test]
fn references_and_used_names_are_the_same() {
    for object in objects() {
        let references: BTreeSet<&str> =
            object["references"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
        let used: BTreeSet<String> = match object["type"].as_str().unwrap() {
            "index-pattern" => BTreeSet::new(),
            "search" => {
                let source = within(&object, "/attributes/kibanaSavedObjectMeta/searchSourceJSON");
                [source["indexRefName"].as_str().unwrap().to_owned()].into()
            }
            "lens" => ["indexpattern-datasource-layer-layer".to_owned()].into(),
            _ => within(&object, "/attributes/panelsJSON")
                .as_array()
                .unwrap()
                .iter()
                .map(|panel| {
                    format!(
                        "{}:{}",
                        panel["panelIndex"].as_str().unwrap(),
                        panel["panelRefName"].as_str().unwrap()
                    )
                })
                .collect(),
        };
        assert_eq!(references, used.iter().map(String::as_str).collect(), "{}", named(&object));
    }
}

#[test]
fn every_field_of_kibana_has_a_type_in_elasticsearch() {
    let mapped = fields::mapped();
    let mut seen = 0;
    for object in objects() {
        for field in fields_of(&object) {
            assert!(mapped.contains_key(&field), "{}: {field}", named(&object));
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} fields are too few to be all");
}

#[test]
fn every_column_of_a_chart_is_ordered_and_shown() {
    for object in objects().iter().filter(|object| object["type"] == "lens") {
        let state = &object["attributes"]["state"];
        let layer = &state["datasourceStates"]["formBased"]["layers"]["layer"];
        let columns: BTreeSet<&str> =
            layer["columns"].as_object().unwrap().keys().map(String::as_str).collect();
        let order = layer["columnOrder"].as_array().unwrap().iter().map(|column| column.as_str().unwrap());
        assert_eq!(order.collect::<BTreeSet<_>>(), columns, "{}", named(object));
        let shown = state["visualization"].to_string();
        assert!(columns.iter().all(|column| shown.contains(&format!("\"{column}\""))), "{}", named(object));
    }
}

#[test]
fn panels_fit_48_columns_without_overlap() {
    let objects = objects();
    let dashboard = objects.iter().find(|object| object["type"] == "dashboard").unwrap();
    let panels = within(dashboard, "/attributes/panelsJSON");
    let mut cells = BTreeSet::new();
    for panel in panels.as_array().unwrap() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridData"][side].as_u64().unwrap());
        assert!(x + w <= 48, "{panel}");
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{panel} overlaps another panel");
        }
    }
}

#[test]
fn the_data_view_shows_the_data_streams_of_the_index_template() {
    let objects = objects();
    let view = objects.iter().find(|object| object["type"] == "index-pattern").unwrap();
    let title = view["attributes"]["title"].as_str().unwrap();
    let template = json("elasticsearch/index-template.json");
    let patterns: Vec<&str> = template["index_patterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pattern| pattern.as_str().unwrap())
        .collect();
    assert_eq!(title.split(',').collect::<Vec<_>>(), patterns);
    assert!(!title.split(',').any(|pattern| fits(pattern, "logs-apm.error-default")), "{title}");
}

#[test]
fn a_trace_id_leads_to_its_waterfall_and_an_order_to_its_lines() {
    let objects = objects();
    let view = objects.iter().find(|object| object["type"] == "index-pattern").unwrap();
    let formats = within(view, "/attributes/fieldFormatMap");
    let link = |field: &str| formats[field]["params"]["urlTemplate"].as_str().unwrap().to_owned();
    // Relative, because host and port of Kibana are settings.
    assert!(link("trace.id").starts_with("/app/apm/link-to/trace/{{value}}"), "{}", link("trace.id"));
    let order = link("order.id");
    assert!(order.starts_with("/app/discover#/") && order.contains("order.id:{{value}}"), "{order}");
    assert!(order.contains(&format!("dataViewId:{}", view["id"].as_str().unwrap())), "{order}");
}
