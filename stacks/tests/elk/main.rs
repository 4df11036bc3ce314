//! What can be known of the ELK stack's files without Elastic's programs: that they agree with each other and with
//! the shapes that Elastic documents, and that the set-up script keeps its promises towards a server that answers
//! as documented. None of it proves that Elasticsearch or Kibana takes them.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "all of this crate is a test")]

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
