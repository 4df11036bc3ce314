//! What the SDK calls when a span ends, and how ended spans become an OTLP request.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use prost::Message;

use crate::pipeline::Intake;

/// Hands every sampled span to the pipeline, on whichever thread it ends.
#[derive(Debug)]
pub(super) struct Spans(pub(super) Intake<SpanData>);

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.push(span);
        }
    }

    /// The trait's flush would block an arbiter; the actor's `Flush` does the work.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Makes one request of spans that `resource` has recorded.
pub(super) fn encoder(resource: &Resource) -> impl Fn(Vec<SpanData>) -> Vec<u8> + Send + use<> {
    let resource = ResourceAttributesWithSchema::from(resource);
    move |spans| {
        let resource_spans = group_spans_by_resource_and_scope(spans, &resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }
}
