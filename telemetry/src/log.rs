//! Logs: one root logger; ECS lines for stdout and a file, each behind a queue of its own, and records for OTLP.

mod bridge;
mod ecs;
mod fields;
mod file;
mod queue;
mod record;
mod terminal;

pub(crate) use bridge::Bridge;
pub(crate) use queue::LogQueue;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use opentelemetry::trace::SpanContext;
use opentelemetry_sdk::Resource;
use prometheus::Registry;
use slog::{Drain, Level, Logger, Never, OwnedKVList, Record};
use tracing_subscriber::filter::Targets;

use self::queue::Sink;
use self::record::RecordDrain;
use crate::pipeline::{Intake, Options, Pipeline, PipelineMetrics, Signal};
use crate::settings::Exporter;
use crate::{Error, Service, Settings, clock, text, trace};

/// The root logger, and the far ends of what it writes.
pub(crate) struct Logs {
    pub(crate) logger: Logger,
    pub(crate) lines: LogQueue,
    pub(crate) records: Option<Intake>,
}

/// Builds the root logger, and starts what is behind it.
pub(crate) fn root(
    service: Service,
    settings: &Settings,
    resource: &Resource,
    registry: &Registry,
    metrics: &PipelineMetrics,
) -> Result<Logs, Error> {
    let mut sinks = Vec::new();
    if settings.log_stdout {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        let writer: Box<dyn Write + Send> =
            if is_terminal { Box::new(terminal::Human(stdout)) } else { Box::new(stdout) };
        sinks.push(Sink { name: "stdout", writer, recent: None });
    }
    if !settings.log_dir.as_os_str().is_empty() {
        let path = settings.log_dir.join(format!("{}.log", service.name));
        let file = file::LogFile::open(path.clone(), settings.log_file_bytes, settings.log_files);
        let writer = Box::new(file.map_err(|source| Error::LogFile { path, source })?);
        let recent = Some(settings.log_dir.join(format!(".{}.recent", service.name)));
        sinks.push(Sink { name: "file", writer, recent });
    }
    let lines = LogQueue::start(sinks, registry)?;
    let records = records(service, settings, resource, metrics)?;
    let drain = RootDrain {
        levels: settings.log_level.clone(),
        lines: ecs::EcsDrain::new(service, settings, lines.clone()),
        records: records.clone().map(RecordDrain),
    };
    Ok(Logs { logger: Logger::root(drain, slog::o!()), lines, records })
}

fn records(
    service: Service,
    settings: &Settings,
    resource: &Resource,
    metrics: &PipelineMetrics,
) -> Result<Option<Intake>, Error> {
    let export = &settings.export;
    if export.otel_logs_exporter == Exporter::None {
        return Ok(None);
    }
    let options = Options {
        signal: Signal::Logs,
        template: record::template(resource, &settings.deployment_environment),
        uris: export.logs_destinations(),
        queue: export.otel_blrp_max_queue_size,
        batch: export.otel_blrp_max_export_batch_size,
        schedule_delay: export.otel_blrp_schedule_delay,
    };
    let pipeline = Pipeline::build(service, options, export, metrics)?;
    let intake = pipeline.intake();
    pipeline.start("telemetry-logs")?;
    Ok(Some(intake))
}

/// What is logged, when, and within which span.
struct Logged<'a> {
    message: &'a str,
    /// Since the Unix epoch.
    at: Duration,
    span: Option<SpanContext>,
    record: &'a Record<'a>,
    values: &'a OwnedKVList,
}

/// Hands what is severe enough to every destination.
struct RootDrain {
    levels: Targets,
    lines: ecs::EcsDrain,
    records: Option<RecordDrain>,
}

impl Drain for RootDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if !self.levels.would_enable(logger_name(record), &tracing_level(record.level())) {
            return Ok(());
        }
        let (at, span) = (clock::now(), trace::current());
        text::with(*record.msg(), |message| {
            let logged = Logged { message, at, span, record, values };
            self.lines.log(&logged);
            if let Some(records) = &self.records {
                records.log(&logged);
            }
        });
        Ok(())
    }
}

/// Bridged records carry the target of their library as a tag; ours are named by their module.
fn logger_name<'a>(record: &'a Record<'_>) -> &'a str {
    if record.tag().is_empty() { record.module() } else { record.tag() }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warn",
        Level::Info => "info",
        Level::Debug => "debug",
        Level::Trace => "trace",
    }
}

fn tracing_level(level: Level) -> tracing::Level {
    match level {
        Level::Critical | Level::Error => tracing::Level::ERROR,
        Level::Warning => tracing::Level::WARN,
        Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
        Level::Trace => tracing::Level::TRACE,
    }
}
