//! The published JSON Schema of an event against the messages that the mailer reads or parks: what is parked is not valid,
//! unless a schema cannot say it.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::cases::{Message, harmless, unreadable};

/// Prints, for each document on its standard input, whether it is valid.
const VALIDATOR: &str = "\
import json, sys
from jsonschema import Draft202012Validator, FormatChecker
given = json.load(sys.stdin)
validator = Draft202012Validator(given['schema'], format_checker=FormatChecker())
print(json.dumps([validator.is_valid(document) for document in given['documents']]))
";

/// Reasons that no JSON Schema can have: bytes, sizes, calendars, and the properties of the message.
const BEYOND: [&str; 3] = ["the message_id is not", "the time is before 1970", "larger than any event"];

/// Names of messages in which a parser of JSON sees no fault, or that only a calendar refuses.
const UNSEEN: [&str; 2] = ["a name twice", "/time = \"2026-02-30T00:00:00Z\""];

fn valid(schema: &Value, documents: &[Value]) -> Vec<bool> {
    let hint = "needs the validator of python3-jsonschema: run `make test`";
    let debian = "/usr/bin/python3";
    let python = if Path::new(debian).exists() { debian } else { "python3" };
    let mut command = Command::new(python);
    command.args(["-c", VALIDATOR]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut validator = command.spawn().expect(hint);
    let given = json!({"schema": schema, "documents": documents}).to_string();
    validator.stdin.take().unwrap().write_all(given.as_bytes()).expect(hint);
    let output = validator.wait_with_output().unwrap();
    assert!(output.status.success(), "{hint}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The messages whose bytes are JSON, with their documents.
fn documents(messages: Vec<Message>) -> Vec<(Message, Value)> {
    let document = |message: &Message| serde_json::from_str(&message.payload).ok();
    messages.into_iter().filter_map(|message| document(&message).map(|value| (message, value))).collect()
}

#[test]
fn the_schema_refuses_what_the_mailer_parks_and_no_more() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../payment/api/payment-event.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (read, parked) = (documents(harmless()), documents(unreadable()));
    let values =
        |messages: &[(Message, Value)]| messages.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
    for ((message, _), is_valid) in read.iter().zip(valid(&schema, &values(&read))) {
        assert!(is_valid, "{} is read, and is not valid", message.name);
    }
    let is_beyond = |message: &Message| {
        BEYOND.iter().any(|reason| message.reason.starts_with(reason)) || UNSEEN.contains(&&*message.name)
    };
    let verdicts = valid(&schema, &values(&parked));
    let refused = verdicts.iter().filter(|is_valid| !**is_valid).count();
    let missed =
        parked.iter().zip(&verdicts).filter(|((message, _), is_valid)| **is_valid && !is_beyond(message));
    let missed: Vec<&str> = missed.map(|((message, _), _)| message.name.as_str()).collect();
    assert!(missed.is_empty() && refused >= 50, "{refused} are refused; parked, and valid: {missed:?}");
}
