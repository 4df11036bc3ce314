//! What surrounds a span in a request of OTLP, as the exporter of `opentelemetry-otlp` writes it.
//!
//! It is the same for all spans, so that the exporter makes it once, at the start, from a span that nobody sees. That
//! span tells, too, whether what we write is what the exporter would have written. The client that the exporter is
//! given keeps the request instead of sending it: when and where that goes is the pipeline's business.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use flate2::read::GzDecoder;
use futures_util::FutureExt;
use http::header::CONTENT_ENCODING;
use http::{Request, Response};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};

use super::recording::{Carried, Notes, Recording};
use crate::Error;
use crate::otlp::Message;
use crate::pipeline::Template;

/// Where nothing is ever sent to.
const NOWHERE: &str = "http://localhost";

/// When the span that nobody sees ends: any moment will do.
const END: Duration = Duration::from_secs(1);

/// The request in which `tracer` sends its spans for `resource`, without any.
pub(super) fn template(resource: &Resource, tracer: &'static str) -> Result<Template, Error> {
    let kept = Keep::default();
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(kept.clone())
        .with_endpoint(NOWHERE)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .map_err(Error::Exporter)?;
    exporter.set_resource(resource);
    let (ours, theirs) = probe(tracer);
    // Ready at once, and never an error: a client that keeps what it is given has nothing to wait for.
    let _ = exporter.export(vec![theirs]).now_or_never();
    let (template, exported) = Template::from_one(kept.take()).ok_or(Error::Encoding)?;
    let mut written = Message::default();
    ours.write(&mut written, END);
    if exported != written.as_bytes() {
        return Err(Error::Encoding);
    }
    Ok(template)
}

/// A span in which nothing is left out that a span can have and we could write otherwise, as ours and as the SDK's.
fn probe(tracer: &'static str) -> (Recording, SpanData) {
    let state = TraceState::from_key_value([("vendor", "1")]).unwrap_or_default();
    let ids = |trace, span, is_remote| {
        let (trace, span) = (TraceId::from_bytes([trace; 16]), SpanId::from_bytes([span; 8]));
        SpanContext::new(trace, span, TraceFlags::SAMPLED, is_remote, state.clone())
    };
    let (span_context, parent, linked) = (ids(1, 2, false), ids(1, 3, true), ids(4, 5, true));
    let words = Array::String(vec!["one".into(), "two".into()]);
    let attributes = [
        KeyValue::new("text", "text"),
        KeyValue::new("integer", -1),
        KeyValue::new("double", 0.5),
        KeyValue::new("bool", true),
        KeyValue::new("array", Value::Array(words)),
    ];
    let mut notes = Notes::named("probe");
    notes.kind = Some(SpanKind::Producer);
    notes.status = Some(StatusCode::Error);
    notes.description = Some("probe".to_owned());
    let carried = Carried { ids: span_context.clone(), baggage: None };
    let mut ours = Recording::new(carried, parent.clone(), notes);
    attributes.iter().for_each(|attribute| ours.set_attribute(attribute.key.as_str(), &attribute.value));
    ours.add_link(&linked);
    let mut links = SpanLinks::default();
    links.links.push(Link::with_context(linked));
    let theirs = SpanData {
        span_context,
        parent_span_id: parent.span_id(),
        parent_span_is_remote: true,
        span_kind: SpanKind::Producer,
        name: "probe".into(),
        start_time: SystemTime::UNIX_EPOCH + ours.start,
        end_time: SystemTime::UNIX_EPOCH + END,
        attributes: attributes.to_vec(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: Status::error("probe"),
        instrumentation_scope: InstrumentationScope::builder(tracer).build(),
    };
    (ours, theirs)
}

#[derive(Clone, Debug, Default)]
struct Keep(Arc<Mutex<Vec<u8>>>);

impl Keep {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl HttpClient for Keep {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let is_zipped = request.headers().contains_key(CONTENT_ENCODING);
        let body = request.into_body();
        let mut plain = Vec::with_capacity(body.len());
        if is_zipped {
            // The exporter reads OTEL_EXPORTER_OTLP_COMPRESSION by itself, but requests are joined before they are sent.
            GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
        } else {
            plain.extend_from_slice(&body);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = plain;
        Ok(Response::new(Bytes::new()))
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use prost::Message as _;

    use super::*;

    #[test]
    fn a_request_is_one_of_the_exporter() {
        let resource = Resource::builder_empty().with_service_name("greeter").build();
        let template = template(&resource, "tracer").unwrap();
        let mut item = Message::after(vec![0]);
        probe("tracer").0.write(&mut item, END);
        let request = template.fill([item.as_bytes()]);
        let request = ExportTraceServiceRequest::decode(&request[..]).unwrap();
        let [group] = &request.resource_spans[..] else { panic!("{request:?}") };
        assert_eq!(group.resource.as_ref().unwrap().attributes[0].key, "service.name");
        let [scope] = &group.scope_spans[..] else { panic!("{request:?}") };
        assert_eq!(scope.scope.as_ref().unwrap().name, "tracer");
        assert!(matches!(&scope.spans[..], [span] if span.name == "probe"), "{request:?}");
    }

    #[tokio::test]
    async fn a_request_that_was_compressed_is_kept_as_it_was() {
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut zipped, b"spans").unwrap();
        let body = Bytes::from(zipped.finish().unwrap());
        let keep = Keep::default();
        let request = Request::builder().header(CONTENT_ENCODING, "gzip").body(body).unwrap();
        keep.send_bytes(request).await.unwrap();
        assert_eq!(keep.take(), b"spans");
    }
}
