//! Backends against recorded answers of real servers; see `tests/recorded/README.md`.

use std::time::{Duration, SystemTime};

use axum::http::StatusCode;
use stacks::{
    backends::{
        Logs as _, Metrics as _, Series, Traces as _, jaeger::Jaeger, loki::Loki, prometheus::Prometheus,
        tempo::Tempo,
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
    let trace = jaeger(&server).trace(&TRACE.to_uppercase()).await.unwrap().unwrap();
    assert_whole(&trace);
    assert_eq!(trace.spans.len(), 7);
    assert_eq!(server.last_request().0, format!("/api/traces/{TRACE}"));
}

#[tokio::test]
async fn jaeger_has_none_for_an_unknown_id_and_refuses_a_bad_one() {
    let file = "recorded/jaeger-embedded/trace-not-found.txt";
    let server = Server::with(StatusCode::NOT_FOUND, file).await;
    assert_eq!(jaeger(&server).trace(TRACE).await.unwrap(), None);
    let error = jaeger(&server).trace("../services").await.unwrap_err().to_string();
    assert!(error.contains("is no trace id"), "{error}");
}

#[tokio::test]
async fn a_counter_of_prometheus_is_the_sum_of_its_series() {
    let server = Server::well("recorded/prometheus-2.53.3/query.json").await;
    let total = prometheus(&server).total(&COUNTER).await.unwrap();
    // One recorded answer stands for two queries: the value is 5, and so is the time of the sample.
    assert_eq!((total.value, total.at), (5.0, SystemTime::UNIX_EPOCH + Duration::from_secs(5)));
    assert_eq!(form(&server), "/api/v1/query query=sum(orders_created_total{job=\"order-gateway\"})");
}

#[tokio::test]
async fn a_missing_counter_and_a_bad_query_of_prometheus_are_errors() {
    let server = Server::well("recorded/prometheus-2.53.3/query-nothing.json").await;
    let error = prometheus(&server).total(&COUNTER).await.unwrap_err().to_string();
    assert!(error.contains("has no metric orders_created_total of order-gateway"), "{error}");

    let server = Server::with(StatusCode::BAD_REQUEST, "recorded/prometheus-2.53.3/query-error.json").await;
    let error = prometheus(&server).total(&COUNTER).await.unwrap_err().to_string();
    assert!(error.contains("400") && error.contains("unexpected end of input"), "{error}");
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

    let server = Server::well("recorded/prometheus-2.53.3/query_exemplars-nothing.json").await;
    assert!(prometheus(&server).exemplars(&HISTOGRAM).await.unwrap().is_empty());
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
