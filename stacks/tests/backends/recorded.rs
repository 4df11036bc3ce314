//! Backends against recorded answers of real servers; see `tests/recorded/README.md`.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use stacks::{
    backends::{
        Inbox as _, Logs as _, Metrics as _, Series, Traces as _, embedded::EmbeddedJaeger, jaeger::Jaeger,
        loki::Loki, mailpit::Mailpit, prometheus::Prometheus, tempo::Tempo,
    },
    http,
    logs::SERVICES,
};

use crate::{assert_whole, server::Server};

const TRACE: &str = "00000000000000000000000000000001";
const COUNTER: Series = Series { service: "order-gateway", name: "orders_created_total", labels: &[] };
const HISTOGRAM: Series = Series {
    service: "order-gateway",
    name: "http_request_duration_seconds",
    labels: &[("route", "/create-order")],
};

fn embedded(server: &Server) -> EmbeddedJaeger {
    EmbeddedJaeger::new(http::client().unwrap(), &server.url)
}

fn jaeger(server: &Server) -> Jaeger {
    Jaeger::new(http::client().unwrap(), &server.url)
}

fn loki(server: &Server) -> Loki {
    Loki::new(http::client().unwrap(), &server.url)
}

fn tempo(server: &Server) -> Tempo {
    Tempo::new(http::client().unwrap(), &server.url)
}

fn prometheus(server: &Server) -> Prometheus {
    Prometheus::new(http::client().unwrap(), &server.url)
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

#[tokio::test]
async fn a_trace_is_read_from_the_local_trace_backend() {
    let server = Server::well("recorded/jaeger-embedded/trace.json").await;
    let trace = embedded(&server).trace(&TRACE.to_uppercase()).await.unwrap().unwrap();
    assert_whole(&trace);
    assert_eq!(trace.spans.len(), 7);
    assert_eq!(server.last_request().0, format!("/api/traces/{TRACE}"));
}

#[tokio::test]
async fn the_local_backend_has_no_unknown_trace_and_refuses_bad_ids() {
    let file = "recorded/jaeger-embedded/trace-not-found.txt";
    let server = Server::with(StatusCode::NOT_FOUND, file).await;
    assert_eq!(embedded(&server).trace(TRACE).await.unwrap(), None);
    let error = embedded(&server).trace("../services").await.unwrap_err().to_string();
    assert!(error.contains("is no trace id"), "{error}");
}

#[tokio::test]
async fn a_trace_of_jaeger_has_its_consumer_below_its_producer() {
    const RECORDED: &str = "114c587f47c2cad93f7ee1e1e3e18c8b";
    // The consumer has its producer as parent and as link. Jaeger's internal JSON shows one FOLLOWS_FROM for both.
    let server = Server::well("recorded/jaeger-2.20.0/trace-v3.json").await;
    let trace = jaeger(&server).trace(RECORDED).await.unwrap().unwrap();
    assert_eq!(server.last_request().0, format!("/api/v3/traces/{RECORDED}"));
    let server = Server::well("recorded/jaeger-2.20.0/trace.json").await;
    let internal = embedded(&server).trace(RECORDED).await.unwrap().unwrap();
    for trace in [trace, internal] {
        assert_whole(&trace);
        assert_eq!(trace.spans.len(), 7);
        assert!(trace.spans.iter().all(|span| span.id.len() == 16), "{trace:#?}");
        let consumer = trace.spans.iter().find(|span| span.kind == "consumer").unwrap();
        assert_eq!(consumer.links, [consumer.parent.clone().unwrap()]);
    }
}

#[tokio::test]
async fn an_unknown_trace_of_jaeger_is_none_and_a_bad_id_refused() {
    let file = "recorded/jaeger-2.20.0/trace-v3-not-found.txt";
    let server = Server::with(StatusCode::NOT_FOUND, file).await;
    assert_eq!(jaeger(&server).trace(TRACE).await.unwrap(), None);
    let server = Server::with(StatusCode::BAD_REQUEST, "recorded/jaeger-2.20.0/trace-v3-bad-id.txt").await;
    let error = jaeger(&server).trace(TRACE).await.unwrap_err().to_string();
    assert!(error.contains("answered 400") && error.contains("invalid length for TraceID"), "{error}");
}

#[tokio::test]
async fn an_email_is_counted_by_mailpit() {
    const ORDER: &str = "01a2293b-e005-704d-a7e6-81d966499998";
    for (file, count) in [("search", 1), ("search-nothing", 0)] {
        let server = Server::well(&format!("recorded/mailpit-1.30/{file}.json")).await;
        let mailpit = Mailpit::new(http::client().unwrap(), &server.url);
        assert_eq!(mailpit.emails(ORDER).await.unwrap(), count, "{file}");
    }
}

#[tokio::test]
async fn a_counter_of_prometheus_is_the_sum_of_its_series() {
    // One answer serves for the time of the sample and for its value.
    for (version, value) in [("2.53.3", 5), ("3.14", 1)] {
        let server = Server::well(&format!("recorded/prometheus-{version}/query.json")).await;
        let total = prometheus(&server).total(&COUNTER).await.unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(value);
        assert_eq!((total.value, total.at), (value as f64, at), "{version}");
        assert_eq!(form(&server), "/api/v1/query query=sum(orders_created_total{job=\"order-gateway\"})");
    }
}

#[tokio::test]
async fn an_absent_counter_and_a_bad_query_are_errors() {
    for version in ["2.53.3", "3.14"] {
        let server = Server::well(&format!("recorded/prometheus-{version}/query-nothing.json")).await;
        let error = prometheus(&server).total(&COUNTER).await.unwrap_err().to_string();
        assert!(error.contains("has no metric orders_created_total of order-gateway"), "{error}");

        let file = format!("recorded/prometheus-{version}/query-error.json");
        let server = Server::with(StatusCode::BAD_REQUEST, &file).await;
        let error = prometheus(&server).total(&COUNTER).await.unwrap_err().to_string();
        assert!(error.contains("400") && error.contains("unexpected end of input"), "{error}");
    }
}

#[tokio::test]
async fn exemplars_of_prometheus_lead_to_traces() {
    let server = Server::well("recorded/prometheus-2.53.3/query_exemplars.json").await;
    let traces = prometheus(&server).exemplars(&HISTOGRAM).await.unwrap();
    assert!(traces.len() > 1 && traces.contains("b2cb23aa9a3c16ae524c415ec8069247"), "{traces:?}");
    let form = form(&server);
    let query =
        "query=http_request_duration_seconds_bucket{job=\"order-gateway\",route=\"/create-order\"}&start=";
    assert!(form.starts_with(&format!("/api/v1/query_exemplars {query}")), "{form}");

    let server = Server::well("recorded/prometheus-3.14/query_exemplars.json").await;
    let traces = prometheus(&server).exemplars(&HISTOGRAM).await.unwrap();
    assert!(traces.len() > 1 && traces.iter().all(|trace| trace.len() == 32), "{traces:?}");
    for version in ["2.53.3", "3.14"] {
        let server =
            Server::well(&format!("recorded/prometheus-{version}/query_exemplars-nothing.json")).await;
        assert!(prometheus(&server).exemplars(&HISTOGRAM).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn lines_of_loki_carry_trace_service_and_order() {
    const RECORDED: &str = "9ce6134775b554f05baff155a20c8663";
    let server = Server::well("recorded/loki-3.7.6/query_range.json").await;
    let lines = loki(&server).lines(&[RECORDED, TRACE]).await.unwrap();
    assert!(lines.iter().all(|line| line.trace == RECORDED), "{lines:?}");
    for service in SERVICES {
        let orders: Vec<_> =
            lines.iter().filter(|line| line.service == service).map(|line| line.order.as_deref()).collect();
        assert!(orders.len() >= 3, "{service}: {lines:?}");
        assert!(orders.contains(&Some("01a21001-e88f-7394-9703-c9086c01e75e")), "{service}: {lines:?}");
    }
    let (path, _, body) = server.last_request();
    assert_eq!(path, "/loki/api/v1/query_range");
    assert!(body.contains(&format!("{RECORDED}%7C{TRACE}")) && body.contains("limit=5000"), "{body}");
}

#[tokio::test]
async fn no_lines_in_loki_are_none_and_a_bad_query_is_an_error() {
    let server = Server::well("recorded/loki-3.7.6/query_range-nothing.json").await;
    assert_eq!(loki(&server).lines(&[TRACE]).await.unwrap(), []);

    let server = Server::with(StatusCode::BAD_REQUEST, "recorded/loki-3.7.6/query_range-error.txt").await;
    let error = loki(&server).query("{").await.unwrap_err().to_string();
    assert!(error.contains("answered 400") && error.contains("parse error at line 1"), "{error}");
}

#[tokio::test]
async fn a_trace_of_tempo_is_read_with_hexadecimal_ids() {
    let server = Server::well("recorded/tempo-3.0.3/trace.json").await;
    let trace = tempo(&server).trace(TRACE).await.unwrap().unwrap();
    assert_whole(&trace);
    assert_eq!(trace.spans.len(), 7);
    assert!(trace.spans.iter().all(|span| span.id.len() == 16), "{trace:#?}");
    let process = trace.spans.iter().find(|span| span.kind == "consumer").unwrap();
    assert_eq!(process.links, [process.parent.clone().unwrap()], "linked to the producer");
    assert_eq!(server.last_request().0, format!("/api/v2/traces/{TRACE}"));
}

#[tokio::test]
async fn an_empty_200_of_tempo_is_no_trace() {
    let server = Server::well("recorded/tempo-3.0.3/trace-not-found.json").await;
    assert_eq!(tempo(&server).trace(TRACE).await.unwrap(), None);

    let server = Server::with(StatusCode::BAD_REQUEST, "recorded/tempo-3.0.3/trace-bad-id.txt").await;
    let error = tempo(&server).trace(TRACE).await.unwrap_err().to_string();
    assert!(error.contains("Tempo at") && error.contains("answered 400"), "{error}");
}
