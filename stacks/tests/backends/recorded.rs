//! Each client against the recorded answers of every version of its server; see `tests/recorded/README.md`.

use std::{fs, path::Path};

use stacks::{
    backends::{
        Inbox as _, Logs as _, Metrics as _, Series, Traces, embedded::EmbeddedJaeger, jaeger::Jaeger,
        lines::Which, loki::Loki, mailpit::Mailpit, prometheus::Prometheus, tempo::Tempo,
    },
    http,
    logs::SERVICES,
    record::{Recording, table},
};

use crate::{assert_whole, server::Server};

const TRACE: &str = "00000000000000000000000000000001";
const COUNTER: Series = Series { service: "order-gateway", name: "orders_created_total", labels: &[] };
const HISTOGRAM: Series = Series {
    service: "order-gateway",
    name: "http_request_duration_seconds",
    labels: &[("route", "/create-order")],
};

fn directory() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recorded"))
}

/// The recordings of every version of a server.
fn versions(server: &str) -> Vec<Recording> {
    let mut all = Recording::all(directory()).unwrap();
    all.retain(|recording| recording.server == server);
    assert!(!all.is_empty(), "{server} is not recorded");
    all
}

/// A client of a server that gives one recorded answer.
async fn client<T>(recording: &Recording, name: &str, new: fn(reqwest::Client, String) -> T) -> (T, Server) {
    let server = Server::recorded(recording, name).await;
    (new(http::client().unwrap(), server.url.clone()), server)
}

/// Path and form of the last request, with the escapes decoded that occur in these tests.
fn form(server: &Server) -> String {
    let (path, _, body) = server.last_request();
    let decoded = [
        ("%7B", "{"),
        ("%7D", "}"),
        ("%3D", "="),
        ("%22", "\""),
        ("%28", "("),
        ("%29", ")"),
        ("%2C", ","),
        ("%2F", "/"),
    ];
    format!("{path} {}", decoded.iter().fold(body, |body, (from, to)| body.replace(from, to)))
}

/// Checks that a recorded trace is whole, with its consumer below its producer and linked to it.
async fn assert_linked(traces: &dyn Traces, recording: &Recording) {
    let trace = traces.trace(&recording.trace.to_uppercase()).await.unwrap().unwrap();
    assert_whole(&trace);
    assert_eq!(trace.spans.len(), 7, "{}", recording.folder());
    assert!(trace.spans.iter().all(|span| span.id.len() == 16), "{trace:#?}");
    let consumer = trace.spans.iter().find(|span| span.kind == "consumer").unwrap();
    assert_eq!(consumer.links, [consumer.parent.clone().unwrap()]);
}

#[tokio::test]
async fn a_trace_is_read_from_the_local_trace_backend() {
    for recording in versions("jaeger-embedded") {
        let (client, server) = client(&recording, "trace", EmbeddedJaeger::new).await;
        assert_whole(&client.trace(&recording.trace).await.unwrap().unwrap());
        assert_eq!(server.last_request().0, format!("/api/traces/{}", recording.trace));
    }
}

#[tokio::test]
async fn the_local_backend_has_no_unknown_trace_and_refuses_bad_ids() {
    for recording in versions("jaeger-embedded") {
        let (client, _server) = client(&recording, "trace-not-found", EmbeddedJaeger::new).await;
        assert_eq!(client.trace(TRACE).await.unwrap(), None);
        let error = client.trace("../services").await.unwrap_err().to_string();
        assert!(error.contains("is no trace id"), "{error}");
    }
}

#[tokio::test]
async fn a_trace_of_jaeger_has_its_consumer_below_its_producer() {
    for recording in versions("jaeger") {
        let (client, server) = client(&recording, "trace-v3", Jaeger::new).await;
        assert_linked(&client, &recording).await;
        assert_eq!(server.last_request().0, format!("/api/v3/traces/{}", recording.trace));
    }
}

#[tokio::test]
async fn one_reference_of_internal_json_is_parent_and_link() {
    // Jaeger's internal JSON, which the local backend speaks, has one FOLLOWS_FROM for a parent that is linked, too.
    let mut read = 0;
    for recording in versions("jaeger").iter().filter(|recording| recording.answers.contains_key("trace")) {
        let (client, _server) = client(recording, "trace", EmbeddedJaeger::new).await;
        assert_linked(&client, recording).await;
        read += 1;
    }
    assert!(read > 0);
}

#[tokio::test]
async fn an_unknown_trace_of_jaeger_is_none_and_a_bad_id_refused() {
    for recording in versions("jaeger") {
        let (unknown, _server) = client(&recording, "trace-v3-not-found", Jaeger::new).await;
        assert_eq!(unknown.trace(TRACE).await.unwrap(), None);
        let (bad, _server) = client(&recording, "trace-v3-bad-id", Jaeger::new).await;
        let error = bad.trace(TRACE).await.unwrap_err().to_string();
        assert!(error.contains("answered 400") && error.contains("malformed parameter trace_id"), "{error}");
    }
}

#[tokio::test]
async fn an_email_is_counted_by_mailpit() {
    for recording in versions("mailpit") {
        for (name, count) in [("search", 1), ("search-nothing", 0)] {
            let (client, server) = client(&recording, name, Mailpit::new).await;
            assert_eq!(client.emails(&recording.order).await.unwrap(), count, "{name}");
            let path = format!("/api/v1/search?query={}&limit=1", recording.order);
            assert_eq!(server.last_request().0, path);
        }
    }
}

#[tokio::test]
async fn a_counter_of_prometheus_is_the_sum_of_its_series() {
    for recording in versions("prometheus") {
        // One answer serves for the time of the sample and for its value.
        let (client, server) = client(&recording, "query", Prometheus::new).await;
        let total = client.total(&COUNTER).await.unwrap();
        assert!(total.value >= 1.0, "{}: {total:?}", recording.folder());
        assert_eq!(form(&server), "/api/v1/query query=sum(orders_created_total{job=\"order-gateway\"})");
    }
}

#[tokio::test]
async fn an_absent_counter_and_a_bad_query_are_errors() {
    for recording in versions("prometheus") {
        let (nothing, _server) = client(&recording, "query-nothing", Prometheus::new).await;
        let error = nothing.total(&COUNTER).await.unwrap_err().to_string();
        assert!(error.contains("has no metric orders_created_total of order-gateway"), "{error}");
        let (bad, _server) = client(&recording, "query-error", Prometheus::new).await;
        let error = bad.total(&COUNTER).await.unwrap_err().to_string();
        assert!(error.contains("400") && error.contains("unexpected end of input"), "{error}");
    }
}

#[tokio::test]
async fn exemplars_of_prometheus_lead_to_traces() {
    for recording in versions("prometheus") {
        let (some, server) = client(&recording, "query_exemplars", Prometheus::new).await;
        let traces = some.exemplars(&HISTOGRAM).await.unwrap();
        assert!(!traces.is_empty() && traces.iter().all(|trace| trace.len() == 32), "{traces:?}");
        let form = form(&server);
        let query = "query=http_request_duration_seconds_bucket{job=\"order-gateway\",route=\"/create-order\"}&start=";
        assert!(form.starts_with(&format!("/api/v1/query_exemplars {query}")), "{form}");
        let (none, _server) = client(&recording, "query_exemplars-nothing", Prometheus::new).await;
        assert!(none.exemplars(&HISTOGRAM).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn lines_of_loki_carry_trace_service_and_order() {
    for recording in versions("loki") {
        let (client, server) = client(&recording, "query_range", Loki::new).await;
        let lines = client.lines(&[&recording.trace, TRACE]).await.unwrap();
        assert!(lines.iter().all(|line| line.trace == recording.trace), "{lines:?}");
        for service in SERVICES {
            let of_service = lines.iter().filter(|line| line.service == service);
            let orders: Vec<_> = of_service.map(|line| line.order.as_deref()).collect();
            assert!(orders.contains(&Some(&*recording.order)), "{service}: {lines:?}");
        }
        let (path, _, body) = server.last_request();
        assert_eq!(path, "/loki/api/v1/query_range");
        assert!(body.contains(&format!("{}%7C{TRACE}", recording.trace)), "{body}");
        assert!(body.contains("limit=5000"), "{body}");
    }
}

#[tokio::test]
async fn lines_of_loki_are_found_in_full() {
    for recording in versions("loki") {
        let (client, server) = client(&recording, "query_range", Loki::new).await;
        let lines = client.find(&Which::Order(recording.order.clone())).await.unwrap();
        assert!(
            lines.iter().all(|line| line.time.is_some() && line.trace() == Some(&recording.trace)),
            "{lines:?}"
        );
        let sent = lines.iter().find(|line| line.message == "e-mail sent").unwrap();
        assert_eq!((sent.service.as_str(), sent.order()), ("email-service", Some(&*recording.order)));
        let answered = lines.iter().find(|line| line.message == "request answered").unwrap();
        assert!(answered.fields.contains_key("http.response.status_code"), "{answered:?}");
        assert!(form(&server).contains(&format!("order_id=\"{}\"", recording.order)), "{}", form(&server));
    }
}

#[tokio::test]
async fn no_lines_in_loki_are_none_and_a_bad_query_is_an_error() {
    for recording in versions("loki") {
        let (nothing, _server) = client(&recording, "query_range-nothing", Loki::new).await;
        assert_eq!(nothing.lines(&[TRACE]).await.unwrap(), []);
        let (bad, _server) = client(&recording, "query_range-error", Loki::new).await;
        let error = bad.query("{").await.unwrap_err().to_string();
        assert!(error.contains("answered 400") && error.contains("parse error at line 1"), "{error}");
    }
}

#[tokio::test]
async fn a_trace_of_tempo_is_read_with_hexadecimal_ids() {
    for recording in versions("tempo") {
        let (client, server) = client(&recording, "trace", Tempo::new).await;
        assert_linked(&client, &recording).await;
        assert_eq!(server.last_request().0, format!("/api/v2/traces/{}", recording.trace));
    }
}

#[tokio::test]
async fn an_empty_200_of_tempo_is_no_trace() {
    for recording in versions("tempo") {
        let (unknown, _server) = client(&recording, "trace-not-found", Tempo::new).await;
        assert_eq!(unknown.trace(TRACE).await.unwrap(), None);
        let (bad, _server) = client(&recording, "trace-bad-id", Tempo::new).await;
        let error = bad.trace(TRACE).await.unwrap_err().to_string();
        assert!(error.contains("Tempo at") && error.contains("answered 400"), "{error}");
    }
}

#[test]
fn the_readme_of_the_recordings_lists_each() {
    let readme = fs::read_to_string(directory().join("README.md")).unwrap();
    assert!(readme.contains(&table(&Recording::all(directory()).unwrap())), "run `make record`");
}
