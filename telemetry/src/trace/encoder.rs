//! Ended spans as requests of OTLP, each by itself.
//!
//! What surrounds a span is the same for all of them, so that the exporter of `opentelemetry-otlp` makes it once, at the
//! start, from a span that nobody sees: to ask it for every span would cost three times as much. The client that it is
//! given keeps the request instead of sending it: when and where that goes is the pipeline's business.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use flate2::read::GzDecoder;
use futures_util::FutureExt;
use http::header::CONTENT_ENCODING;
use http::{Request, Response};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use prost::Message;

use crate::Error;
use crate::pipeline::{dissect, single};

/// Where nothing is ever sent to.
const NOWHERE: &str = "http://localhost";

/// Makes a request of each span. Who recorded it is added by the pipeline.
#[derive(Debug)]
pub(super) struct Encoder {
    scope: Bytes,
}

impl Encoder {
    /// An encoder of the spans of `tracer`, and `resource` as the pipeline adds it.
    pub(super) fn new(resource: &Resource, tracer: &'static str) -> Result<(Self, Vec<u8>), Error> {
        let kept = Keep::default();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(kept.clone())
            .with_endpoint(NOWHERE)
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(Error::Exporter)?;
        exporter.set_resource(resource);
        let probe = probe(tracer);
        // Ready at once, and never an error: a client that keeps what it is given has nothing to wait for.
        let _ = exporter.export(vec![probe.clone()]).now_or_never();
        let [resource, scope, span] = dissect(kept.take()).ok_or(Error::Encoding)?;
        if span != Span::from(probe).encode_to_vec() {
            return Err(Error::Encoding);
        }
        Ok((Self { scope }, resource.to_vec()))
    }

    pub(super) fn encode(&self, span: SpanData) -> Vec<u8> {
        single(self.scope.clone(), Span::from(span).encode_to_vec())
    }
}

/// A span in which nothing is left out that a span can have and the exporter could put elsewhere.
fn probe(tracer: &'static str) -> SpanData {
    let (trace, span) = (TraceId::from_bytes([1; 16]), SpanId::from_bytes([2; 8]));
    SpanData {
        span_context: SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default()),
        parent_span_id: SpanId::from_bytes([3; 8]),
        parent_span_is_remote: true,
        span_kind: SpanKind::Producer,
        name: "probe".into(),
        start_time: SystemTime::UNIX_EPOCH,
        end_time: SystemTime::now(),
        attributes: vec![KeyValue::new("probe", true)],
        dropped_attributes_count: 1,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::error("probe"),
        instrumentation_scope: InstrumentationScope::builder(tracer).build(),
    }
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
    use opentelemetry_proto::tonic::resource;

    use super::*;

    #[test]
    fn a_span_is_encoded_as_by_the_exporter() {
        let resource = Resource::builder_empty().with_service_name("greeter").build();
        let (encoder, resource) = Encoder::new(&resource, "tracer").unwrap();
        let resource = resource::v1::Resource::decode(&resource[..]).unwrap();
        assert_eq!(resource.attributes[0].key, "service.name");
        let request = ExportTraceServiceRequest::decode(&encoder.encode(probe("tracer"))[..]).unwrap();
        let [group] = &request.resource_spans[..] else { panic!("{request:?}") };
        assert_eq!(group.resource, None);
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
