//! The far end of all signals: owns the metric registry, and the near ends of the pipelines and of the log queue.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use futures_util::future::{join, join_all};
use slog::Logger;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use crate::log::{Levels, LogQueue};
use crate::metrics::{Format, Registry, otlp};
use crate::pipeline::Outbound;
use crate::trace::{OpenSpan, OpenSpans};
use crate::{Error, settings};

/// To write the last line of all.
const LAST_LINE: Duration = Duration::from_millis(200);
/// Between two log lines about items that were given up; the metrics have the reasons.
const REPORT: Duration = Duration::from_secs(60);
/// Between two checks for what is due.
const MAX_TICK: Duration = Duration::from_secs(1);
/// A change of the log level is for finding a fault, and ends by itself.
const MAX_LEVEL_DURATION: Duration = Duration::from_secs(24 * 3600);

/// The state of the pipelines and of the log queue.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "actix", derive(actix::MessageResponse))]
pub struct HealthReport {
    /// Items that wait for a receiver, in memory or in the spool.
    pub queued: i64,
    /// Items and log lines given up or refused for good since the start.
    pub dropped: u64,
}

/// The log levels in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLevel {
    /// As `LOG_LEVEL` names them.
    pub levels: String,
    /// The time until the configured levels are in force again; `None` while they are.
    pub remaining: Option<Duration>,
}

/// The far end of all three signals; cheap to clone. Make it first, and shut it down last.
#[derive(Clone)]
pub struct Observability(Arc<Parts>);

/// What an [`Observability`] is made of.
pub(crate) struct Parts {
    pub(crate) registry: Registry,
    pub(crate) log: Logger,
    pub(crate) levels: Levels,
    pub(crate) lines: LogQueue,
    /// Of each signal that leaves over OTLP.
    pub(crate) outbound: Vec<Outbound>,
    pub(crate) metrics: Option<otlp::Exporter>,
    pub(crate) open: OpenSpans,
    pub(crate) has_spool: bool,
    /// Losses that are logged already.
    pub(crate) reported: AtomicU64,
}

impl Observability {
    /// Starts the thread that does what is due at a certain time.
    pub(crate) fn start(parts: Parts) -> Result<Self, Error> {
        let parts = Arc::new(parts);
        let (weak, name) = (Arc::downgrade(&parts), "telemetry-clock".to_owned());
        let thread = thread::Builder::new().name(name.clone());
        thread.spawn(move || tick(&weak)).map_err(|source| Error::Thread { name, source })?;
        Ok(Self(parts))
    }

    /// The root logger.
    pub fn log(&self) -> Logger {
        self.0.log.clone()
    }

    /// The registry, to register a service's own metrics in.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// All metrics, as a page for a scraper.
    ///
    /// # Errors
    /// When a collector gives what can't be written as text.
    pub fn gather(&self, format: Format) -> Result<String, Error> {
        self.0.registry.encode(format)
    }

    /// The state of the pipelines and of the log queue.
    pub fn health(&self) -> HealthReport {
        HealthReport { queued: self.0.queued(), dropped: self.0.lost() }
    }

    /// The spans that are open now, the oldest first; those of OpenTelemetry's own API are not among them.
    pub fn open_spans(&self) -> Vec<OpenSpan> {
        self.0.open.list()
    }

    /// The log levels in force.
    pub fn log_level(&self) -> LogLevel {
        LogLevel { levels: self.0.levels.describe(), remaining: self.0.levels.remaining() }
    }

    /// Changes the log levels for `duration`: `debug`, or `payment=debug` for a module alone. Zero restores the
    /// configured ones.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn set_log_level(&self, levels: &str, duration: Duration) -> Result<LogLevel, String> {
        let parsed = settings::levels(levels)?;
        if duration > MAX_LEVEL_DURATION {
            return Err(format!("expected a duration of at most {} s", MAX_LEVEL_DURATION.as_secs()));
        }
        if duration.is_zero() {
            self.0.levels.restore();
        } else {
            self.0.levels.change(parsed, duration);
        }
        slog::warn!(self.0.log, "log level changed"; "levels" => self.0.levels.describe(), "seconds" => duration.as_secs());
        Ok(self.log_level())
    }

    /// Completes when every span, log line and metric so far has left the process.
    ///
    /// With an unreachable receiver that takes as long as it is away: bound it.
    pub async fn flush(&self) {
        if let Some(metrics) = &self.0.metrics {
            metrics.export();
        }
        let lines = self.0.lines.clone();
        let written = spawn_blocking(move || lines.flush());
        // Side by side: neither a stuck disk nor a dead receiver may cost another signal its last items. A cancelled
        // write means that the runtime is ending, and with it the process.
        let _ = join(written, join_all(self.0.outbound.iter().map(Outbound::flush))).await;
    }

    /// [`flush`](Self::flush) until `deadline`. True if everything has left.
    pub async fn shut_down(&self, deadline: Instant) -> bool {
        let has_left = timeout_at(deadline, self.flush()).await.is_ok();
        if !has_left {
            let Parts { log, lines, has_spool, .. } = &*self.0;
            let queued = self.0.queued();
            if *has_spool {
                slog::warn!(log, "items not delivered in time, and kept in the spool"; "queued" => queued);
            } else {
                slog::warn!(log, "items not delivered in time, and lost"; "queued" => queued);
            }
            let lines = lines.clone();
            // A stuck disk must not hold up the end.
            let _ = timeout(LAST_LINE, spawn_blocking(move || lines.flush())).await;
        }
        has_left
    }
}

impl Parts {
    fn queued(&self) -> i64 {
        self.outbound.iter().map(|outbound| outbound.metrics().queued()).sum()
    }

    fn lost(&self) -> u64 {
        self.outbound.iter().map(|outbound| outbound.metrics().lost()).sum::<u64>() + self.lines.lost()
    }

    /// Logs how much was given up since the last report.
    fn report(&self) {
        let lost = self.lost();
        let reported = self.reported.swap(lost, Ordering::Relaxed);
        if lost > reported {
            slog::warn!(self.log, "items or lines given up"; "number" => lost - reported);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, and no arbiter")]
fn tick(parts: &Weak<Parts>) {
    let (mut report, mut export) = (Instant::now(), Instant::now());
    let mut pause = Duration::ZERO;
    loop {
        thread::sleep(pause);
        let Some(parts) = parts.upgrade() else { return };
        if parts.levels.expire() {
            slog::warn!(parts.log, "log level restored"; "levels" => parts.levels.describe());
        }
        if report.elapsed() >= REPORT {
            report = Instant::now();
            parts.report();
        }
        pause = MAX_TICK;
        if let Some(metrics) = &parts.metrics {
            pause = pause.min(metrics.interval());
            if export.elapsed() >= metrics.interval() {
                export = Instant::now();
                metrics.export();
            }
        }
    }
}

#[cfg(all(test, feature = "clap"))]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{Service, Settings};

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
    fn losses_are_logged_once() {
        let directory = tempfile::tempdir().unwrap();
        let place = format!("--log-dir={}", directory.path().display());
        let arguments = ["test", "--otel-traces-exporter=none", "--log-stdout=false", place.as_str()];
        let service = Service { name: "s", version: "1" };
        let settings = Command::parse_from(arguments).telemetry;
        let parts = Observability::new(service, &settings).unwrap().0;
        parts.report();
        slog::info!(parts.log, "broken"; "value" => Broken);
        parts.report();
        parts.report();
        parts.lines.flush();
        let text = std::fs::read_to_string(directory.path().join("s.log")).unwrap();
        let said: Vec<_> = text.lines().filter(|line| line.contains("given up")).collect();
        assert!(matches!(said[..], [line] if line.contains(r#""number":1"#)), "{text}");
    }
}
