//! Ended spans wait in a bounded queue; one loop takes them in batches and exports them in order.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::context::FutureExt;
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter as _, SpanProcessor};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::delivery::Delivery;
use crate::metrics::PipelineMetrics;
use crate::{Error, Settings};

/// The receiving end: runs on the arbiter of the Observability actor.
pub(crate) struct Pipeline {
    spans: mpsc::Receiver<SpanData>,
    flushes: mpsc::Receiver<oneshot::Sender<()>>,
    handle: PipelineHandle,
    exporter: SpanExporter,
    schedule_delay: Duration,
    batch_size: usize,
    metrics: PipelineMetrics,
}

/// Asks the loop for something.
#[derive(Clone, Debug)]
pub(crate) struct PipelineHandle {
    flushes: mpsc::Sender<oneshot::Sender<()>>,
}

impl PipelineHandle {
    /// Completes once every span that had ended before this call is delivered or given up for good.
    ///
    /// While the receiver is unreachable that is never: bound it.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.flushes.send(done).await.is_ok() {
            // An error means that the loop has ended, and nothing more will leave.
            let _ = flushed.await;
        }
    }
}

impl Pipeline {
    pub(crate) fn build(
        settings: &Settings,
        resource: &Resource,
        metrics: &PipelineMetrics,
    ) -> Result<(Self, SpanQueue), Error> {
        let (queue, spans) = mpsc::channel(settings.otel_bsp_max_queue_size);
        let (flush, flushes) = mpsc::channel(1);
        let endpoint = settings.traces_endpoint();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Delivery::new(&endpoint, settings.otel_exporter_otlp_timeout)?)
            .with_endpoint(endpoint)
            // Delivery knows how long to try; two schedules on top of each other would multiply.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(Error::Exporter)?;
        // The provider tells its processor only, and the exporter is not behind one.
        exporter.set_resource(resource);
        let pipeline = Self {
            spans,
            flushes,
            handle: PipelineHandle { flushes: flush },
            exporter,
            schedule_delay: settings.otel_bsp_schedule_delay,
            batch_size: settings.otel_bsp_max_export_batch_size,
            metrics: metrics.clone(),
        };
        Ok((pipeline, SpanQueue { queue, metrics: metrics.clone() }))
    }

    pub(crate) fn handle(&self) -> PipelineHandle {
        self.handle.clone()
    }

    /// Runs until the queue is closed.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::with_capacity(self.batch_size);
        let mut tick = interval(self.schedule_delay);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                span = self.spans.recv() => match span {
                    Some(span) => {
                        batch.push(span);
                        if batch.len() >= self.batch_size {
                            self.export(&mut batch).await;
                        }
                    }
                    None => break self.export(&mut batch).await,
                },
                _ = tick.tick() => self.export(&mut batch).await,
                Some(done) = self.flushes.recv() => {
                    // As many as wait now: those that end meanwhile are not what was asked for.
                    for _ in 0..self.spans.len() {
                        let Ok(span) = self.spans.try_recv() else { break };
                        batch.push(span);
                        if batch.len() >= self.batch_size {
                            self.export(&mut batch).await;
                        }
                    }
                    self.export(&mut batch).await;
                    // Whoever asked may have given up waiting.
                    let _ = done.send(());
                }
            }
        }
    }

    async fn export(&self, batch: &mut Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let spans = std::mem::replace(batch, Vec::with_capacity(self.batch_size));
        let number = spans.len() as u64;
        let waiting = i64::try_from(number).unwrap_or(i64::MAX);
        let silent = Context::new().with_telemetry_suppressed();
        match self.exporter.export(spans).with_context(silent).await {
            Ok(()) => self.metrics.spans_exported.inc_by(number),
            Err(_) => {
                self.metrics.spans_dropped.with_label_values(&[PipelineMetrics::REJECTED]).inc_by(number);
            }
        }
        // Only now: while the receiver is away, those that are being sent wait like the rest.
        self.metrics.spans_queued.sub(waiting);
    }
}

/// The sending end: what the SDK calls when a span ends, on whichever thread that happens.
#[derive(Debug)]
pub(crate) struct SpanQueue {
    queue: mpsc::Sender<SpanData>,
    metrics: PipelineMetrics,
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        // Before it is sent: the loop may be done with it before this thread goes on.
        self.metrics.spans_queued.inc();
        if self.queue.try_send(span).is_err() {
            self.metrics.spans_queued.dec();
            self.metrics.spans_dropped.with_label_values(&[PipelineMetrics::QUEUE_FULL]).inc();
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
