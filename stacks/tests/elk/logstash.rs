//! The Logstash pipeline: its input from Filebeat and its output to Elasticsearch fit.

use std::collections::BTreeSet;

use crate::{fields, text};

/// Fields that the pipeline names and no document keeps.
const PASSING: [&str; 3] = ["@metadata._id", "error", "log.file"];

fn pipeline() -> String {
    let text = text("logstash/pipeline/omnitrace.conf");
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

/// Field references: `[a][b]` as `a.b`.
fn references(pipeline: &str) -> BTreeSet<String> {
    let mut references = BTreeSet::new();
    let mut names = Vec::new();
    let mut rest = pipeline;
    while !rest.is_empty() {
        match name(rest) {
            Some((name, after)) => {
                names.push(name);
                rest = after;
            }
            None => {
                if !names.is_empty() {
                    references.insert(std::mem::take(&mut names).join("."));
                }
                rest = rest.get(1..).unwrap();
            }
        }
    }
    references
}

/// `[name]` at the start of a text, and the rest; a list of strings is no name.
fn name(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('[')?.split_once(']')?;
    name.chars().all(|c| c.is_ascii_alphanumeric() || "_@".contains(c)).then_some((name, after))
}

#[test]
fn every_field_of_the_pipeline_has_a_type_in_elasticsearch() {
    let mapped = fields::mapped();
    let references = references(&pipeline());
    assert!(
        references.contains("data_stream.dataset") && references.contains("service.name"),
        "{references:?}"
    );
    let unknown: Vec<_> = references
        .iter()
        .filter(|reference| !mapped.contains_key(*reference) && !PASSING.contains(&reference.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_data_stream_of_the_pipeline_has_types_and_retention() {
    let pipeline = pipeline();
    let datasets: Vec<&str> = pipeline
        .lines()
        .filter_map(|line| line.split_once(r#""[data_stream][dataset]" => ""#)?.1.split('"').next())
        .collect();
    assert_eq!(datasets, ["omnitrace", "omnitrace.unparsed"]);
    for dataset in datasets {
        assert!(fields::is_ours(&format!("logs-{dataset}-default")), "{dataset}");
    }
}

#[test]
fn filebeat_reads_a_log_file_from_its_first_line_on() {
    let filebeat = text("filebeat/filebeat.yml");
    let length = filebeat.lines().find_map(|line| line.trim().strip_prefix("length: ")).unwrap();
    let length: usize = length.parse().unwrap();
    // The start of the shortest line that a service can write. Filebeat requires a fingerprint of at least 64 bytes.
    let line =
        r#"{"@timestamp":"2026-11-24T22:42:46Z","log.level":"info","message":"","ecs.version":"9.4.0""#;
    assert!((64..=line.len()).contains(&length), "{length}");
}
