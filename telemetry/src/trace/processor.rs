//! Hands ended spans to a pipeline; the thread that ends a span never waits.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use crate::pipeline::Intake;

/// A span processor in front of a bounded queue; spans that it has no room for are counted.
#[derive(Debug)]
pub(crate) struct QueueProcessor(pub(crate) Intake<SpanData>);

impl SpanProcessor for QueueProcessor {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.push(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.shutdown_with_timeout(Duration::from_secs(5))
    }

    /// Waits for what is queued; the pipeline itself lives as long as the process.
    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        match self.0.outbound().flush_blocking(timeout) {
            true => Ok(()),
            false => Err(OTelSdkError::Timeout(timeout)),
        }
    }
}
