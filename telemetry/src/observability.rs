//! The actor Observability: owns the metric registry, the span pipeline and the log queue.
//!
//! Receives [`Gather`], [`Health`], [`Flush`] and, last of all, [`Shutdown`]. Sends nothing. It lives on an
//! arbiter of its own, so that a busy service can neither starve nor be held up by its telemetry.

use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{IntGaugeVec, Opts, Registry, TextEncoder, process_collector::ProcessCollector};
use slog::Logger;
use tokio::time::{Instant, timeout, timeout_at};

use crate::log::{BridgeLayer, LogQueue};
use crate::metrics::{PipelineMetrics, register};
use crate::trace::{Pipeline, PipelineHandle};
use crate::{Error, Settings, log, trace};

/// To write the last line of all.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Who is observed: the same name in every signal.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// `service.name`.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
}

/// The metrics of this moment, in the Prometheus text format.
#[derive(Message)]
#[rtype(result = "Result<String, Error>")]
pub struct Gather;

/// How the pipelines are doing.
#[derive(Message)]
#[rtype(result = "HealthReport")]
pub struct Health;

/// The answer to [`Health`].
#[derive(Clone, Copy, Debug, MessageResponse)]
pub struct HealthReport {
    /// Spans that wait for export.
    pub spans_queued: i64,
    /// Spans and log lines given up since the start.
    pub dropped: u64,
}

/// Waits until every span and log line so far has left the process.
///
/// With an unreachable receiver that takes as long as it stays away: send it with a timeout.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flush;

/// [`Flush`] while there is time, then no further span is recorded. Answers whether everything has left.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Shutdown {
    /// When to give up.
    pub deadline: Instant,
}

/// The far end of all three signals. Make it first, [`launch`](Self::launch) it, and shut it down last.
pub struct Observability {
    registry: Registry,
    metrics: PipelineMetrics,
    log: Logger,
    lines: LogQueue,
    provider: Option<SdkTracerProvider>,
    pipeline: Option<Pipeline>,
    spans: Option<PipelineHandle>,
}

impl Observability {
    /// Sets up the three signals of `service` and installs them for this process.
    ///
    /// # Errors
    /// When a destination can't be opened, or the self-test of the trace context fails.
    pub fn new(service: Service, settings: &Settings) -> Result<Self, Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let build = Opts::new("build_info", "The service that runs here, and its version; always 1.");
        register(&registry, IntGaugeVec::new(build, &["service", "version"])?)?
            .with_label_values(&[service.name, service.version])
            .set(1);
        let metrics = PipelineMetrics::register(&registry)?;
        let (log, lines) = log::root(service, settings, &metrics)?;
        let bridge = BridgeLayer { logger: log.clone() };
        let (provider, pipeline) = trace::install(service, settings, &metrics, bridge)?;
        settings.baggage_allowed.let_pass();
        let spans = pipeline.as_ref().map(Pipeline::handle);
        Ok(Self { registry, metrics, log, lines, provider, pipeline, spans })
    }

    /// The root logger.
    pub fn log(&self) -> Logger {
        self.log.clone()
    }

    /// The registry, to register a service's own metrics in.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Starts the actor on an arbiter of its own.
    pub fn launch(self) -> Addr<Self> {
        let arbiter = Arbiter::new();
        Self::start_in_arbiter(&arbiter.handle(), |_| self)
    }
}

impl Actor for Observability {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if let Some(pipeline) = self.pipeline.take() {
            // Not `ctx.spawn`: a stopping context would drop a batch in mid-export.
            actix::spawn(pipeline.run());
        }
    }
}

impl Handler<Gather> for Observability {
    type Result = Result<String, Error>;

    fn handle(&mut self, _: Gather, _: &mut Self::Context) -> Self::Result {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

impl Handler<Health> for Observability {
    type Result = HealthReport;

    fn handle(&mut self, _: Health, _: &mut Self::Context) -> HealthReport {
        let reasons = [PipelineMetrics::QUEUE_FULL, PipelineMetrics::REJECTED];
        let spans = reasons.map(|reason| self.metrics.spans_dropped.with_label_values(&[reason]).get());
        let reasons = [PipelineMetrics::QUEUE_FULL, PipelineMetrics::WRITE_FAILED];
        let lines = reasons.map(|reason| self.metrics.lines_dropped.with_label_values(&[reason]).get());
        HealthReport {
            spans_queued: self.metrics.spans_queued.get(),
            dropped: spans.iter().chain(&lines).sum(),
        }
    }
}

impl Handler<Flush> for Observability {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let (spans, lines) = (self.spans.clone(), self.lines.clone());
        Box::pin(async move {
            let written = actix_web::rt::task::spawn_blocking(move || lines.flush());
            let sent = async {
                if let Some(spans) = spans {
                    spans.flush().await;
                }
            };
            // Side by side: neither a stuck disk nor a dead receiver may cost the other signal its last moments.
            // A cancelled write means that the runtime is ending, and with it the process.
            let _ = join(written, sent).await;
        })
    }
}

impl Handler<Shutdown> for Observability {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, shutdown: Shutdown, context: &mut Self::Context) -> Self::Result {
        let flushed = <Self as Handler<Flush>>::handle(self, Flush, context);
        let (provider, spans_queued) = (self.provider.clone(), self.metrics.spans_queued.clone());
        let (log, lines) = (self.log.clone(), self.lines.clone());
        Box::pin(async move {
            let have_left = timeout_at(shutdown.deadline, flushed).await.is_ok();
            if !have_left {
                slog::warn!(log, "spans were not taken in time, and are lost"; "spans" => spans_queued.get());
                let written = actix_web::rt::task::spawn_blocking(move || lines.flush());
                // A stuck disk must not hold up the end.
                let _ = timeout(LAST_WORDS, written).await;
            }
            if let Some(provider) = provider {
                // Our processor has nothing left that could fail.
                let _ = provider.shutdown();
            }
            have_left
        })
    }
}
