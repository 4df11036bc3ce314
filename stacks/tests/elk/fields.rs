//! The fields of the index template, and what names them: roles, queries, the documentation.

use std::collections::BTreeMap;

use crate::json;

/// Types by field, from the index template.
pub(crate) fn mapped() -> BTreeMap<String, String> {
    let template = json("elasticsearch/index-template.json");
    let properties = template["template"]["mappings"]["properties"].as_object().unwrap();
    properties
        .iter()
        .map(|(field, mapping)| (field.clone(), mapping["type"].as_str().unwrap().to_owned()))
        .collect()
}

/// True if a data stream of this name gets the types and the retention of the index template.
pub(crate) fn is_ours(data_stream: &str) -> bool {
    let template = json("elasticsearch/index-template.json");
    let patterns: Vec<_> = template["index_patterns"].as_array().unwrap().iter().collect();
    patterns.iter().any(|pattern| fits(pattern.as_str().unwrap(), data_stream))
}

/// True if `name` fits a pattern with `*`, as Elasticsearch reads it.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            (0..=name.len()).any(|skipped| name.get(skipped..).is_some_and(|name| fits(rest, name)))
        }),
    }
}

/// The fields of a KQL query in the form `field : value`.
pub(crate) fn of_query(query: &str) -> Vec<&str> {
    let words: Vec<&str> = query.split_whitespace().map(|word| word.trim_matches(['(', ')'])).collect();
    words
        .windows(2)
        .filter(|pair| [":", ">", ">=", "<", "<="].contains(&pair[1]))
        .map(|pair| pair[0])
        .collect()
}

#[test]
fn no_field_is_a_value_and_an_object_at_once() {
    let fields = mapped();
    for field in fields.keys() {
        let below = fields.keys().find(|other| other.starts_with(&format!("{field}.")));
        assert_eq!(below, None, "{field}");
    }
}

#[test]
fn patterns_and_queries_are_read_as_elastic_reads_them() {
    assert!(fits("logs-omnitrace.*-*", "logs-omnitrace.unparsed-default") && fits("a*c", "abcc"));
    assert!(!fits("logs-omnitrace-*", "logs-omnitrace.unparsed-default") && !fits("a", "ab"));
    assert_eq!(
        of_query(r#"log.level : (warn or error) and order.id : * or x >= 3"#),
        ["log.level", "order.id", "x"]
    );
}

#[test]
fn ids_and_texts_have_the_types_that_searching_them_needs() {
    let fields = mapped();
    let of = |field: &str| fields.get(field).map(String::as_str);
    for id in ["trace.id", "span.id", "order.id", "messaging.message.id", "service.name", "log.level"] {
        assert_eq!(of(id), Some("keyword"), "{id}");
    }
    assert_eq!(of("message"), Some("match_only_text"));
    assert_eq!(of("@timestamp"), Some("date_nanos"), "with milliseconds, lines would lose their order");
    let timestamp =
        &json("elasticsearch/index-template.json")["template"]["mappings"]["properties"]["@timestamp"];
    assert_eq!(timestamp["ignore_malformed"], false, "a data stream needs a valid time");
}

#[test]
fn the_documentation_asks_for_fields_that_exist() {
    let text = include_str!("../../../docs/elk.md");
    let fields: Vec<&str> = text.split("```").skip(1).step_by(2).flat_map(of_query).collect();
    assert!(fields.len() >= 8, "{fields:?}");
    let mapped = mapped();
    assert_eq!(fields.iter().find(|field| !mapped.contains_key(**field)), None);
}

#[test]
fn each_writer_role_has_the_privileges_it_needs_and_no_other() {
    let writer = json("elasticsearch/logstash-writer.json");
    let [indices] = &writer["indices"].as_array().unwrap()[..] else { panic!("{writer}") };
    assert_eq!(indices["privileges"], serde_json::json!(["auto_configure", "create_doc"]));
    let template = json("elasticsearch/index-template.json");
    assert_eq!(indices["names"], template["index_patterns"], "role and template name different streams");
    let writer = json("elasticsearch/apm-writer.json");
    let mut privileges: Vec<&str> = writer["indices"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|indices| indices["privileges"].as_array().unwrap())
        .map(|privilege| privilege.as_str().unwrap())
        .collect();
    privileges.sort_unstable();
    assert_eq!(privileges, ["auto_configure", "create_doc", "read"]);
}
