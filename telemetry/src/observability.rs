//! The actor Observability: owns the metric registry, and the near ends of the pipelines and of the log queue.
//!
//! Receives [`Gather`], [`Health`], [`Flush`] and, last of all, [`Shutdown`]. Sends nothing. It lives on an
//! arbiter of its own, so that a busy service can neither starve nor be held up by its telemetry.

use std::time::Duration;

use actix::prelude::*;
use futures_util::future::{OptionFuture, join3};
use prometheus::{IntGaugeVec, Opts, process_collector::ProcessCollector};
use slog::Logger;
use tokio::time::{Instant, timeout, timeout_at};

use crate::log::{Bridge, LogQueue, Logs};
use crate::metrics::{Format, Registry, register};
use crate::pipeline::{Intake, PipelineMetrics, SignalMetrics};
use crate::{Error, Settings, log, trace};

/// To write the last line of all.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How often the log says that something was given up; the metrics know of what, and why.
const REPORT: Duration = Duration::from_secs(60);

/// Who is observed: the same name in every signal.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// `service.name`.
    pub name: &'static str,
    /// `service.version`.
    pub version: &'static str,
}

/// The metrics of this moment.
#[derive(Message)]
#[rtype(result = "Result<String, Error>")]
pub struct Gather(pub Format);

/// How the pipelines are doing.
#[derive(Message)]
#[rtype(result = "HealthReport")]
pub struct Health;

/// The answer to [`Health`].
#[derive(Clone, Copy, Debug, MessageResponse)]
pub struct HealthReport {
    /// Spans and log records that wait for a receiver, in memory or in the spool.
    pub queued: i64,
    /// Spans, log records and log lines given up or refused for good since the start.
    pub dropped: u64,
}

/// Waits until every span and log line so far has left the process.
///
/// With an unreachable receiver that takes as long as it stays away: send it with a timeout.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Flush;

/// [`Flush`] while there is time. Answers whether everything has left.
#[derive(Message)]
#[rtype(result = "bool")]
pub struct Shutdown {
    /// When to give up.
    pub deadline: Instant,
}

/// The far end of all three signals. Make it first, [`launch`](Self::launch) it, and shut it down last.
pub struct Observability {
    registry: Registry,
    log: Logger,
    lines: LogQueue,
    records: Option<Intake>,
    spans: Option<Intake>,
    has_spool: bool,
    reported: u64,
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
        let resource = trace::resource(service, settings);
        let Logs { logger: log, lines, records } =
            log::root(service, settings, &resource, &registry, &metrics)?;
        let bridge = Bridge(log.clone());
        let spans = trace::install(service, settings, &resource, &metrics, bridge)?;
        settings.baggage_allowed.let_pass();
        let has_spool = !settings.export.telemetry_spool_dir.as_os_str().is_empty();
        Ok(Self { registry, log, lines, records, spans, has_spool, reported: 0 })
    }

    /// The root logger.
    pub fn log(&self) -> Logger {
        self.log.clone()
    }

    /// The registry, to register a service's own metrics in.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    fn pipelines(&self) -> impl Iterator<Item = &SignalMetrics> {
        let spans = self.spans.as_ref().map(Intake::metrics);
        spans.into_iter().chain(self.records.as_ref().map(Intake::metrics))
    }

    fn lost(&self) -> u64 {
        self.pipelines().map(SignalMetrics::lost).sum::<u64>() + self.lines.lost()
    }

    fn report(&mut self) {
        let lost = self.lost();
        if lost > self.reported {
            slog::warn!(self.log, "spans or lines were given up"; "number" => lost - self.reported);
        }
        self.reported = lost;
    }

    /// Starts the actor on an arbiter of its own.
    pub fn launch(self) -> Addr<Self> {
        let arbiter = Arbiter::new();
        Self::start_in_arbiter(&arbiter.handle(), |_| self)
    }
}

impl Actor for Observability {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(REPORT, |observability, _| observability.report());
    }
}

impl Handler<Gather> for Observability {
    type Result = Result<String, Error>;

    fn handle(&mut self, Gather(format): Gather, _: &mut Self::Context) -> Self::Result {
        self.registry.encode(format)
    }
}

impl Handler<Health> for Observability {
    type Result = HealthReport;

    fn handle(&mut self, _: Health, _: &mut Self::Context) -> HealthReport {
        HealthReport { queued: self.pipelines().map(SignalMetrics::queued).sum(), dropped: self.lost() }
    }
}

impl Handler<Flush> for Observability {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Flush, _: &mut Self::Context) -> Self::Result {
        let (spans, records, lines) = (self.spans.clone(), self.records.clone(), self.lines.clone());
        Box::pin(async move {
            let written = actix_web::rt::task::spawn_blocking(move || lines.flush());
            let spans = OptionFuture::from(spans.as_ref().map(Intake::flush));
            let records = OptionFuture::from(records.as_ref().map(Intake::flush));
            // Side by side: neither a stuck disk nor a dead receiver may cost another signal its last moments.
            // A cancelled write means that the runtime is ending, and with it the process.
            let _ = join3(written, spans, records).await;
        })
    }
}

impl Handler<Shutdown> for Observability {
    type Result = ResponseFuture<bool>;

    fn handle(&mut self, shutdown: Shutdown, context: &mut Self::Context) -> Self::Result {
        let flushed = <Self as Handler<Flush>>::handle(self, Flush, context);
        let has_spool = self.has_spool;
        let (log, lines) = (self.log.clone(), self.lines.clone());
        let queued: Vec<_> = self.pipelines().cloned().collect();
        Box::pin(async move {
            let have_left = timeout_at(shutdown.deadline, flushed).await.is_ok();
            if !have_left {
                let queued: i64 = queued.iter().map(SignalMetrics::queued).sum();
                if has_spool {
                    slog::warn!(log, "spans were not taken in time, and wait in the spool"; "queued" => queued);
                } else {
                    slog::warn!(log, "spans were not taken in time, and are lost"; "queued" => queued);
                }
                let written = actix_web::rt::task::spawn_blocking(move || lines.flush());
                // A stuck disk must not hold up the end.
                let _ = timeout(LAST_WORDS, written).await;
            }
            have_left
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        telemetry: Settings,
    }

    struct Broken;

    impl slog::Value for Broken {
        fn serialize(
            &self,
            _: &slog::Record<'_>,
            _: slog::Key,
            _: &mut dyn slog::Serializer,
        ) -> slog::Result {
            Err(slog::Error::Other)
        }
    }

    #[test]
    fn what_was_given_up_is_said_once() {
        let directory = tempfile::tempdir().unwrap();
        let place = format!("--log-dir={}", directory.path().display());
        let arguments = ["test", "--otel-traces-exporter=none", "--log-stdout=false", place.as_str()];
        let service = Service { name: "s", version: "1" };
        let settings = Command::parse_from(arguments).telemetry;
        let mut observability = Observability::new(service, &settings).unwrap();
        observability.report();
        slog::info!(observability.log, "broken"; "value" => Broken);
        observability.report();
        observability.report();
        observability.lines.flush();
        let text = std::fs::read_to_string(directory.path().join("s.log")).unwrap();
        let said: Vec<_> = text.lines().filter(|line| line.contains("were given up")).collect();
        assert!(matches!(said[..], [line] if line.contains(r#""number":1"#)), "{text}");
    }
}
