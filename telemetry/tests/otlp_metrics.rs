//! `OTEL_METRICS_EXPORTER=otlp`: the registry leaves over OTLP, with exemplars and the resource of all signals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on must stop")]

mod support;

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64;
use opentelemetry_proto::tonic::metrics::v1::{Metric, exemplar, metric};
use serde_json::Value;
use support::lines::saying;
use support::{Bench, endpoint};
use telemetry::metrics::{Durations, Label, counter};
use telemetry::slog;
use testkit::otlp::{OtlpSink, attribute, hex};

fn newest(sink: &OtlpSink, name: &str) -> Metric {
    let groups = sink.metrics();
    let scopes = groups.last().unwrap().scope_metrics.iter();
    let mut metrics = scopes.flat_map(|scope| &scope.metrics);
    metrics.find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name} in {groups:?}")).clone()
}

/// A receiver in Python, and what it prints.
struct Python {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Python {
    /// `None` without the package opentelemetry-proto, here or in target/python.
    fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/receiver.py");
        let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python");
        let mut command = Command::new("python3");
        command.arg(script).env("PYTHONPATH", packages).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().ok()?;
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let Some(port) = output.next() else {
            child.wait().unwrap();
            return None;
        };
        Some(Self { child, output, port: port.unwrap().parse().unwrap() })
    }

    fn request(&mut self) -> Value {
        serde_json::from_str(&self.output.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The request as the official messages of another language have it.
fn assert_decoded(request: &Value, span_id: &str) {
    let metrics = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let named = |name| metrics.iter().find(|metric| metric["name"] == name).unwrap();
    let orders = &named("orders_created")["sum"];
    assert_eq!((&orders["dataPoints"][0]["asDouble"], &orders["isMonotonic"]), (&3.0.into(), &true.into()));
    assert_eq!(orders["aggregationTemporality"], "AGGREGATION_TEMPORALITY_CUMULATIVE");
    let durations = named("http.server.request.duration");
    let point = &durations["histogram"]["dataPoints"][0];
    assert_eq!((&durations["unit"], &point["count"]), (&"s".into(), &"1".into()));
    let attribute = &point["attributes"][0];
    assert_eq!(attribute["key"], "http.response.status_code");
    assert_eq!(attribute["value"]["intValue"], "200");
    // JSON has bytes in base64.
    let exemplar = &point["exemplars"][0];
    assert_eq!((&exemplar["asDouble"], exemplar["spanId"].as_str().unwrap()), (&0.0008.into(), span_id));
}

#[actix_rt::test]
async fn metrics_leave_with_exemplars_and_the_resource_of_all() {
    let (sink, mut python) = (OtlpSink::start(), Python::start());
    let mut metrics = format!("{}/v1/metrics", sink.url());
    if let Some(python) = &python {
        metrics += &format!(",http://127.0.0.1:{}/v1/metrics", python.port);
    }
    let arguments = [
        endpoint(&sink),
        format!("--otel-exporter-otlp-metrics-endpoint={metrics}"),
        "--otel-metrics-exporter=otlp".to_owned(),
        "--otel-logs-exporter=otlp".to_owned(),
        "--otel-resource-attributes=team=a%2Cb%20c".to_owned(),
        "--otel-service-name=shop".to_owned(),
        "--otel-exporter-otlp-protocol=grpc".to_owned(),
    ];
    let bench = Bench::start(&arguments.each_ref().map(String::as_str));
    let orders = counter(&bench.registry, "orders_created_total", "Orders.").unwrap();
    let name = ("http_request_duration_seconds", "Time.");
    let durations = Durations::register(&bench.registry, name, [Label::closed("status", &["200"])]).unwrap();
    orders.inc_by(3);
    let span = tracing::info_span!("measured");
    span.in_scope(|| {
        durations.observe(["200"], Duration::from_micros(800));
        slog::info!(bench.log, "measured");
    });
    drop(span);
    bench.flush().await;

    let Some(metric::Data::Sum(sum)) = newest(&sink, "orders_created").data else { panic!("no sum") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative is the default");
    let duration = newest(&sink, "http.server.request.duration");
    assert_eq!(duration.unit, "s");
    let Some(metric::Data::Histogram(histogram)) = duration.data else { panic!("no histogram") };
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.explicit_bounds[1], point.bucket_counts[1]), (1, 0.001, 1));
    let span = &sink.named("measured")[0];
    let [exemplar] = &point.exemplars[..] else { panic!("{:?}", point.exemplars) };
    assert_eq!((hex(&exemplar.trace_id), hex(&exemplar.span_id)), (hex(&span.trace_id), hex(&span.span_id)));
    assert_eq!(exemplar.value, Some(exemplar::Value::AsDouble(0.0008)));
    match &mut python {
        Some(python) => assert_decoded(&python.request(), &BASE64.encode(&span.span_id)),
        None => eprintln!(
            "SKIPPED: decoding by Python; python3 -m pip install --target target/python opentelemetry-proto"
        ),
    }

    let metrics = sink.metrics().last().unwrap().resource.clone().unwrap().attributes;
    let logs = sink.logs().last().unwrap().resource.clone().unwrap().attributes;
    for (key, expected) in [("service.name", "shop"), ("team", "a,b c"), ("service.version", "1.2.3")] {
        for (signal, found) in [
            ("metrics", attribute(&metrics, key)),
            ("logs", attribute(&logs, key)),
            ("traces", sink.resource(key)),
        ] {
            assert_eq!(found.as_deref(), Some(expected), "{key} of {signal}");
        }
    }
    assert_eq!(attribute(&metrics, "service.instance.id"), sink.resource("service.instance.id"));
    let lines = bench.lines().await;
    let line = saying(&lines, "measured")[0];
    assert_eq!((line.get("team"), line.get("service.name")), (&"a,b c".into(), &"shop".into()));
    let warned: Vec<_> = lines.iter().filter(|line| line.message() == "setting not supported").collect();
    assert!(
        warned.iter().any(|line| line
            .get("reason")
            .as_str()
            .unwrap()
            .contains("OTEL_EXPORTER_OTLP_PROTOCOL"))
    );

    bench.flush().await;
    let exported = r#"telemetry_exported_total{destination="1",signal="metrics"}"#;
    assert!(bench.metric(exported).await >= 20, "families of two exports");
    let Some(metric::Data::Histogram(histogram)) = newest(&sink, "http.server.request.duration").data else {
        panic!("no histogram")
    };
    assert!(histogram.data_points[0].exemplars.is_empty(), "an exemplar is sent once");
}
