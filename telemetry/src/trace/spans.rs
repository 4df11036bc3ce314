//! What the SDK calls when a span ends.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};

use super::encoder::Encoder;
use crate::pipeline::Intake;

/// Hands every sampled span to the pipeline, encoded on the thread on which it ends: what is encoded survives the process.
#[derive(Debug)]
pub(super) struct Spans {
    pub(super) encoder: Encoder,
    pub(super) intake: Intake,
}

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.intake.push(&self.encoder.encode(span));
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
