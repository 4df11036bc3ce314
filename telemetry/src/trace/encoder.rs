//! Ended spans as requests of OTLP, each by itself, made by the exporter of `opentelemetry-otlp`. The client that it is given keeps the
//! request instead of sending it: when and where that goes is the pipeline's business.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flate2::read::GzDecoder;
use futures_util::FutureExt;
use http::header::CONTENT_ENCODING;
use http::{Request, Response};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};

use crate::Error;

/// Where nothing is ever sent to.
const NOWHERE: &str = "http://localhost";

/// Makes a request of each span. Who recorded it is added by the pipeline.
#[derive(Debug)]
pub(super) struct Encoder {
    exporter: SpanExporter,
    kept: Keep,
}

impl Encoder {
    pub(super) fn new() -> Result<Self, Error> {
        let kept = Keep::default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(kept.clone())
            .with_endpoint(NOWHERE)
            .with_retry_policy(RetryPolicy::disabled())
            .with_max_request_body_size(usize::MAX)
            .build()
            .map_err(Error::Exporter)?;
        Ok(Self { exporter, kept })
    }

    pub(super) fn encode(&mut self, span: SpanData) -> Vec<u8> {
        // Ready at once, and never an error: a client that keeps what it is given has nothing to wait for.
        let _ = self.exporter.export(vec![span]).now_or_never();
        self.kept.take()
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
    use std::time::Duration;

    use opentelemetry::Context;
    use opentelemetry::trace::{Span as _, Tracer, TracerProvider as _};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::trace::{SdkTracerProvider, Span, SpanProcessor};
    use prost::Message;

    use super::*;

    #[derive(Clone, Debug, Default)]
    struct Ended(Arc<Mutex<Vec<SpanData>>>);

    impl SpanProcessor for Ended {
        fn on_start(&self, _: &mut Span, _: &Context) {}

        fn on_end(&self, span: SpanData) {
            self.0.lock().unwrap().push(span);
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn each_span_is_a_request_of_its_own() {
        let ended = Ended::default();
        let provider = SdkTracerProvider::builder().with_span_processor(ended.clone()).build();
        let mut encoder = Encoder::new().unwrap();
        for name in ["a", "b"] {
            provider.tracer("test").start(name).end();
            let span = ended.0.lock().unwrap().pop().unwrap();
            let request = ExportTraceServiceRequest::decode(&encoder.encode(span)[..]).unwrap();
            let [resource] = &request.resource_spans[..] else { panic!("{request:?}") };
            let [scope] = &resource.scope_spans[..] else { panic!("{request:?}") };
            assert_eq!(scope.scope.as_ref().unwrap().name, "test");
            assert!(matches!(&scope.spans[..], [span] if span.name == name), "{request:?}");
        }
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
