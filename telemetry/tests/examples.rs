//! The examples, run as programs: what README.md shows must work.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use telemetry::amqp::{with_context, with_publish_time};
use telemetry::propagation::TraceContext;
use testkit::otlp::{OtlpSink, attribute, hex};
use testkit::rabbitmq::VirtualHost;
use testkit::wait::eventually;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// An example that sends what it records to `sink`.
fn example(name: &str, sink: &OtlpSink, directory: &tempfile::TempDir) -> Command {
    let test = std::env::current_exe().unwrap();
    let program: PathBuf = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let mut command = Command::new(program);
    command.current_dir(directory.path());
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", sink.url()).env("OTEL_BSP_SCHEDULE_DELAY", "20");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Asks `example` to greet, interrupts it, and checks what it has recorded.
async fn greets_and_is_traced(name: &str) {
    let (sink, directory) = (OtlpSink::start(), tempfile::tempdir().unwrap());
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let service = example(name, &sink, &directory).arg(&address).spawn().unwrap();
    let client = reqwest::Client::new();
    let response = eventually("an answer", async || {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let request = client.get(format!("http://{address}/hello/you")).header("traceparent", parent);
        request.send().await.ok()
    })
    .await;
    assert_eq!(response.text().await.unwrap(), "Hello, you!\n");
    let page = client.get(format!("http://{address}/metrics")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("telemetry_recorded_total{signal=\"traces\"}"), "{page}");
    let output = interrupt(service);

    let spans = sink.of_trace(TRACE);
    let [server] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((server.kind, hex(&server.parent_span_id).as_str()), (2, "00f067aa0ba902b7"), "a SERVER span");
    assert_eq!(attribute(&server.attributes, "http.route").as_deref(), Some("/hello/{name}"));
    let line = output.lines().find(|line| line.contains("\"greeting\"")).unwrap();
    assert!(line.contains(TRACE) && line.contains(&hex(&server.span_id)), "{line}");
}

fn interrupt(service: Child) -> String {
    let pid = service.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = service.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_actix_service_greets_and_is_traced() {
    greets_and_is_traced("service").await;
}

#[tokio::test]
async fn the_axum_service_greets_and_is_traced() {
    greets_and_is_traced("axum").await;
}

#[tokio::test]
async fn the_consumer_continues_the_trace_of_the_publisher() {
    let (sink, directory) = (OtlpSink::start(), tempfile::tempdir().unwrap());
    let vhost = VirtualHost::create().await;
    let consumer = example("consumer", &sink, &directory).env("AMQP_URL", vhost.amqp_url()).spawn().unwrap();
    let connection = Connection::connect(&vhost.amqp_url(), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = "parcels";
    channel.queue_declare(queue.into(), Default::default(), Default::default()).await.unwrap();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let context = TraceContext::read(|name| (name == "traceparent").then(|| parent.clone()));
    let headers = with_publish_time(with_context(FieldTable::default(), &context));
    let properties = BasicProperties::default().with_headers(headers);
    let published =
        channel.basic_publish("".into(), queue.into(), Default::default(), b"a parcel", properties).await;
    published.unwrap();

    let span = eventually("the span of the message", async || sink.of_trace(TRACE).pop()).await;
    let output = interrupt(consumer);
    assert_eq!((span.kind, hex(&span.parent_span_id).as_str()), (5, "00f067aa0ba902b7"), "a CONSUMER span");
    assert_eq!((span.name.as_str(), span.links.len()), ("process :parcels:parcels", 1));
    let line = output.lines().find(|line| line.contains("\"message received\"")).unwrap();
    assert!(line.contains(TRACE) && line.contains(&hex(&span.span_id)), "{line}");
}

#[test]
fn foreign_layers_write_text_and_can_be_reloaded() {
    let (sink, directory) = (OtlpSink::start(), tempfile::tempdir().unwrap());
    let output = example("layers", &sink, &directory).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && text.contains("on stderr now"), "{text}");
    assert!(!text.contains("not on stderr yet"), "{text}");
    assert_eq!(sink.named("work").len(), 2);
}
