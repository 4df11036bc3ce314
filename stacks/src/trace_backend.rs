//! The local stack's trace backend: receives OTLP over HTTP, and serves Jaeger's UI and query API from bounded memory. The
//! Docker stacks have real backends.

use std::{
    io::{self, Read as _},
    net::SocketAddr,
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName},
    },
    middleware::map_response,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use flate2::read::GzDecoder;
use otlp_embedded::{
    Config, State as Store, StateRef, TraceService as _, TraceServiceImpl,
    proto::{
        collector::trace::v1::ExportTraceServiceRequest,
        common::v1::{AnyValue, KeyValue, any_value::Value},
        resource::v1::Resource,
        trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus},
    },
    ui_app,
};
use prost::Message as _;
use tokio::net::TcpListener;

const PROTOBUF: &str = "application/x-protobuf";
const BOUNDS: Config = Config { max_length: 20_000, max_memory_usage: 256 << 20 };
/// Bytes of a request, before and after decompression.
const MAX_REQUEST: usize = 32 << 20;

/// Serves until the process ends; the traces are lost then.
///
/// # Errors
/// When an address is in use.
pub async fn serve(otlp: SocketAddr, ui: SocketAddr) -> Result<()> {
    let store = Store::new(BOUNDS);
    let listen = async |address: SocketAddr| {
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
    };
    let (otlp, ui) = (listen(otlp).await?, listen(ui).await?);
    // otlp-embedded sends the page for client-side routes as a 307 without a location.
    let pages = ui_app(store.clone(), "/").layer(map_response(async |mut response: Response| {
        if response.status() == StatusCode::TEMPORARY_REDIRECT {
            *response.status_mut() = StatusCode::OK;
        }
        response
    }));
    tokio::try_join!(axum::serve(otlp, receiver(store)), axum::serve(ui, pages))?;
    Ok(())
}

fn receiver(store: StateRef) -> Router {
    Router::new()
        .route("/v1/traces", post(receive))
        .route("/livez", get(async || "ok"))
        .layer(DefaultBodyLimit::max(MAX_REQUEST))
        .with_state(store)
}

async fn receive(State(store): State<StateRef>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = text(CONTENT_TYPE);
    if content_type.split(';').next().map(str::trim) != Some(PROTOBUF) {
        let text = format!(
            "cannot read {content_type:?}: only {PROTOBUF}; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf\n"
        );
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
    }
    let body = match text(CONTENT_ENCODING) {
        "" | "identity" => Ok(body),
        "gzip" => decompress(&body),
        other => {
            let text = format!("cannot read {other:?}: only gzip; set OTEL_EXPORTER_OTLP_COMPRESSION=gzip\n");
            return (StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response();
        }
    };
    let request = body.and_then(|body| Ok(ExportTraceServiceRequest::decode(body)?));
    let mut request = match request {
        Ok(request) => request,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, format!("not an OTLP request: {error}\n")).into_response();
        }
    };
    complete(&mut request);
    match TraceServiceImpl::new(store).export(tonic::Request::new(request)).await {
        Ok(answer) => ([(CONTENT_TYPE, PROTOBUF)], answer.into_inner().encode_to_vec()).into_response(),
        Err(status) => (StatusCode::INTERNAL_SERVER_ERROR, status.to_string()).into_response(),
    }
}

/// Decompresses a body of at most [`MAX_REQUEST`] bytes.
fn decompress(zipped: &[u8]) -> io::Result<Bytes> {
    let mut body = Vec::new();
    GzDecoder::new(zipped).take(MAX_REQUEST as u64 + 1).read_to_end(&mut body)?;
    match body.len() {
        0..=MAX_REQUEST => Ok(body.into()),
        _ => Err(io::Error::other(format!("more than {MAX_REQUEST} bytes after decompression"))),
    }
}

/// Adds the tags of Jaeger's OTLP translation that the embedded store leaves out.
fn complete(request: &mut ExportTraceServiceRequest) {
    for resource_spans in &mut request.resource_spans {
        identify(resource_spans.resource.get_or_insert_default());
        for span in resource_spans.scope_spans.iter_mut().flat_map(|scope| &mut scope.spans) {
            describe(span);
        }
    }
}

/// Adds an instance id: the store tells services apart by it.
fn identify(resource: &mut Resource) {
    if !resource.attributes.iter().any(|attribute| attribute.key == "service.instance.id") {
        let service = resource.attributes.iter().find(|attribute| attribute.key == "service.name");
        let id = service.and_then(|attribute| attribute.value.clone());
        resource
            .attributes
            .extend(id.map(|id| KeyValue { key: "service.instance.id".into(), value: Some(id) }));
    }
}

fn describe(span: &mut Span) {
    // The store subtracts unchecked, and would panic where a clock was set back.
    span.end_time_unix_nano = span.end_time_unix_nano.max(span.start_time_unix_nano);
    let kind = match span.kind() {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal | SpanKind::Unspecified => "internal",
    };
    span.attributes.push(text("span.kind", kind));
    let Some(status) = &span.status else { return };
    match status.code() {
        SpanStatus::Unset => {}
        SpanStatus::Ok => span.attributes.push(text("otel.status_code", "OK")),
        SpanStatus::Error => {
            let description = text("otel.status_description", &status.message);
            let error = KeyValue {
                key: "error".into(),
                value: Some(AnyValue { value: Some(Value::BoolValue(true)) }),
            };
            span.attributes.extend([text("otel.status_code", "ERROR"), description, error]);
        }
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }) }
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, time::Duration};

    use flate2::{Compression, write::GzEncoder};
    use otlp_embedded::proto::trace::v1::{ResourceSpans, ScopeSpans, Status};

    use tokio::task::JoinHandle;

    use super::*;
    use crate::{
        address,
        backends::{Traces as _, embedded::EmbeddedJaeger},
        http,
    };

    fn recorded(service: &str, spans: Vec<Span>) -> ResourceSpans {
        let resource = Resource { attributes: vec![text("service.name", service)], ..Resource::default() };
        let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }
    }

    fn span(id: u8, parent: &[u8], kind: SpanKind) -> Span {
        let (trace_id, parent_span_id) = (vec![7; 16], parent.repeat(8));
        Span {
            trace_id,
            span_id: vec![id; 8],
            parent_span_id,
            kind: kind.into(),
            start_time_unix_nano: 1_000_000,
            end_time_unix_nano: 3_000_000,
            ..Span::default()
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
        zipped.write_all(bytes).unwrap();
        zipped.finish().unwrap()
    }

    /// A backend that runs, the URL for spans and a client of its query API.
    async fn running() -> (JoinHandle<Result<()>>, String, EmbeddedJaeger) {
        let (otlp, ui) = (address::free().unwrap(), address::free().unwrap());
        let backend = tokio::spawn(serve(otlp, ui));
        let client = http::client().unwrap();
        while http::probe(&client, &format!("http://{otlp}/livez")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let jaeger = EmbeddedJaeger::new(client, format!("http://{ui}"));
        (backend, format!("http://{otlp}/v1/traces"), jaeger)
    }

    #[tokio::test]
    async fn received_spans_are_found_in_the_query_api() {
        let (backend, url, jaeger) = running().await;
        let client = http::client().unwrap();
        let mut failed = span(2, &[1], SpanKind::Client);
        failed.status = Some(Status { code: SpanStatus::Error.into(), message: "refused".into() });
        // A clock that was set back between start and end.
        failed.end_time_unix_nano = 0;
        let resource_spans =
            vec![recorded("a", vec![span(1, &[], SpanKind::Server)]), recorded("b", vec![failed])];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let refused =
            client.post(&url).header(CONTENT_TYPE, "application/json").body("{}").send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        let taken = client.post(&url).header(CONTENT_TYPE, PROTOBUF).body(body).send().await.unwrap();
        assert_eq!(taken.status(), StatusCode::OK);

        let trace = jaeger.trace(&"07".repeat(16)).await.unwrap().unwrap();
        assert_eq!(trace.services().into_iter().collect::<Vec<_>>(), ["a", "b"]);
        let client_span = trace.spans.iter().find(|span| span.kind == "client").unwrap();
        assert_eq!(client_span.parent.as_deref(), Some("0101010101010101"));
        assert_eq!(client_span.error.as_deref(), Some("refused"));
        assert_eq!(client_span.duration, Duration::ZERO);
        assert_eq!(jaeger.trace(&"08".repeat(16)).await.unwrap(), None);
        backend.abort();
    }

    #[tokio::test]
    async fn a_compressed_request_is_read_and_its_size_bounded() {
        let (backend, url, jaeger) = running().await;
        let client = http::client().unwrap();
        let post = async |encoding: &str, body: Vec<u8>| {
            let request = client.post(&url).header(CONTENT_TYPE, PROTOBUF).header(CONTENT_ENCODING, encoding);
            request.body(body).send().await.unwrap().status()
        };
        let resource_spans = vec![recorded("a", vec![span(1, &[], SpanKind::Server)])];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        assert_eq!(post("gzip", gzip(&body)).await, StatusCode::OK);
        assert!(jaeger.trace(&"07".repeat(16)).await.unwrap().is_some());
        assert_eq!(post("gzip", body.clone()).await, StatusCode::BAD_REQUEST);
        assert_eq!(post("gzip", gzip(&vec![0; MAX_REQUEST + 1])).await, StatusCode::BAD_REQUEST);
        assert_eq!(post("zstd", body).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        backend.abort();
    }
}
