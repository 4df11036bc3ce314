//! The ELK stack's files, checked without Elastic's programs: they agree with each other and with the shapes that
//! Elastic documents, and the setup script works against a server that answers as documented. None of these tests
//! proves that Elasticsearch or Kibana accepts the files.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod fields;
mod kibana;
mod logstash;
mod server;
mod setup;

use std::{fs, path::PathBuf};

use serde_json::Value;

/// A file below `stacks/elk`.
fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "elk", name].iter().collect()
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}
