//! Log lines: JSON with the names of the Elastic Common Schema, with the trace of their request, the same in the file and
//! on stdout.

use std::collections::BTreeSet;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use stacks::{address, process::Signal};
use testkit::wait::eventually;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::harness::{Placed, Program, System, books, serving};

/// The messages of each service about a successful order.
const MESSAGES: [(&str, &[&str]); 3] = [
    ("order-gateway", &["payment answered", "order placed", "request answered"]),
    ("payment-service", &["payment settled", "request answered", "event published"]),
    ("email-service", &["event received", "sending e-mail", "e-mail sent"]),
];

/// A JSON object as written: in order, with repeated names.
struct Written(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Written;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Written(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl Written {
    fn parse(line: &str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key)?.1.as_str()
    }
}

/// Checks the fields that every line of every service has.
fn assert_ecs(line: &str, service: &str) -> Written {
    let written = Written::parse(line);
    let keys: Vec<&str> = written.0.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys[..4], ["@timestamp", "log.level", "message", "ecs.version"], "{line}");
    let distinct: BTreeSet<&str> = keys.iter().copied().collect();
    assert_eq!(distinct.len(), keys.len(), "a name occurs twice in {line}");
    // ECS spells objects with dots: unfolded, `a` and `a.b` exclude each other.
    let conflict = keys.iter().find(|key| keys.iter().any(|other| other.starts_with(&format!("{key}."))));
    assert_eq!(conflict, None, "a value and an object at once in {line}");
    let time = OffsetDateTime::parse(written.text("@timestamp").unwrap(), &Rfc3339);
    let age = OffsetDateTime::now_utc() - time.unwrap_or_else(|error| panic!("{error}: {line}"));
    assert!((0..300).contains(&age.whole_seconds()), "{age} old: {line}");
    let level = written.text("log.level").unwrap();
    assert!(["trace", "debug", "info", "warn", "error", "critical"].contains(&level), "{line}");
    assert_eq!(written.text("service.name"), Some(service), "{line}");
    assert!(written.text("ecs.version").is_some() && written.text("message").is_some(), "{line}");
    written
}

/// The lines of a service in one trace, as soon as they contain these messages.
async fn lines_of(system: &System, service: &str, trace: &str, messages: &[&str]) -> Vec<Written> {
    eventually(&format!("{messages:?} of {service} in trace {trace}"), async || {
        let lines = system.log(service).into_iter().map(|line| assert_ecs(&line, service));
        let lines: Vec<Written> = lines.filter(|line| line.text("trace.id") == Some(trace)).collect();
        let found: Vec<&str> = lines.iter().filter_map(|line| line.text("message")).collect();
        let missing = messages.iter().find(|message| !found.contains(*message));
        match missing {
            Some(missing) => Err(format!("`{missing}` is not among {found:?}")),
            None => Ok(lines),
        }
    })
    .await
}

#[tokio::test]
async fn every_line_of_an_order_carries_its_trace() {
    let system = System::start().await;
    let order = Placed::from(&system.place_with(&books("ada.secret@example.org"), &[]).await);
    let trace = system.trace(&order.trace).await;
    let spans: BTreeSet<&str> = trace.spans.iter().map(|span| span.id.as_str()).collect();
    for (service, messages) in MESSAGES {
        let lines = lines_of(&system, service, &order.trace, messages).await;
        for line in &lines {
            let span = line.text("span.id").unwrap();
            assert!(spans.contains(span), "{service}: no span {span} in the trace");
        }
        for (message, about) in messages.iter().filter(|m| **m != "request answered").map(|m| (m, &order.id))
        {
            let line = lines.iter().find(|line| line.text("message") == Some(message)).unwrap();
            assert_eq!(line.text("order.id"), Some(about.as_str()), "{service}: {message}");
        }
        // Every line that names the order has its trace.
        for line in system.log(service).iter().filter(|line| line.contains(&order.id)) {
            assert!(line.contains(&order.trace), "{service}: without its trace: {line}");
        }
        let secrets = ["ada.secret", "example.org", &system.payment_token()].map(str::to_owned);
        let leaked = system.log(service).into_iter().find(|line| secrets.iter().any(|s| line.contains(s)));
        assert_eq!(leaked, None, "{service}");
    }
}

#[tokio::test]
async fn a_refused_request_is_logged_with_the_trace_of_its_answer() {
    let system = System::start().await;
    let answer = system.order("unknown").await;
    let lines = lines_of(&system, "order-gateway", answer.trace(), &["request answered"]).await;
    let line = lines.iter().find(|line| line.text("message") == Some("request answered")).unwrap();
    let number =
        |key: &str| line.0.iter().find(|(name, _)| name == key).and_then(|(_, value)| value.as_u64());
    assert_eq!(number("http.response.status_code"), Some(404));
    assert!(number("event.duration").is_some_and(|nanoseconds| nanoseconds > 0));
    assert_eq!(line.text("http.request.method"), Some("GET"));
    assert_eq!(line.text("http.route"), Some("/orders/{order_id}"));
    assert_eq!(line.text("url.path"), Some("/orders/unknown"));
}

#[tokio::test]
async fn stdout_has_the_same_lines_as_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let address = address::free().unwrap();
    let listen = address.to_string();
    let settings = [
        ("GATEWAY_LISTEN", listen.as_str()),
        ("PAYMENT_TOKEN", "a token of this test"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ];
    let gateway = Program::start("gateway", &[], dir.path(), &settings);
    serving(address).await;
    let client = stacks::http::client().unwrap();
    assert_eq!(client.get(format!("http://{address}/nothing")).send().await.unwrap().status(), 404);
    gateway.signal(Signal::TERM);
    let ended = gateway.ended().await;
    let file = std::fs::read_to_string(dir.path().join("logs/order-gateway.log")).unwrap();
    assert_eq!(ended.stdout, file);
    let messages: Vec<_> = file
        .lines()
        .map(|line| assert_ecs(line, "order-gateway").text("message").unwrap().to_owned())
        .collect();
    assert_eq!(messages, ["listening", "request answered", "stopping"]);
}
