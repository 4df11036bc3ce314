//! Logs: one root logger; ECS lines for stdout and a file, each behind a queue of its own, and records for OTLP.

mod bridge;
mod ecs;
mod entry;
mod fields;
mod file;
mod levels;
mod otlp;
mod queue;
mod terminal;

pub(crate) use bridge::Bridge;
pub(crate) use levels::Levels;
pub(crate) use queue::LogQueue;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::panic::AssertUnwindSafe;

use opentelemetry_sdk::Resource;
use slog::{Drain, Logger, Never, OwnedKVList, Record};

use self::entry::{Entry, logger_name, text, tracing_level};
use self::otlp::RecordDrain;
use self::queue::Sink;
use crate::metrics::Registry;
use crate::pipeline::{Intake, LogItem};
use crate::resource::{Service, attribute};
use crate::settings::Otel;
use crate::{Error, Settings, clock, propagation};

/// The root logger, the levels in force, and the queue of its lines.
pub(crate) struct Logs {
    pub(crate) logger: Logger,
    pub(crate) levels: Levels,
    pub(crate) lines: LogQueue,
}

/// Builds the root logger, and starts the threads that write.
pub(crate) fn root(
    service: Service,
    settings: &Settings,
    otel: &Otel,
    resource: &Resource,
    registry: &Registry,
    records: Option<Intake<LogItem>>,
) -> Result<Logs, Error> {
    let lines = LogQueue::start(sinks(service, settings)?, registry)?;
    let levels = Levels::register(settings.log_level.clone(), registry)?;
    let drain = RootDrain {
        levels: levels.clone(),
        lines: ecs::EcsDrain::new(&constant_fields(otel, resource), lines.clone()),
        records: records.map(|intake| AssertUnwindSafe(RecordDrain::new(service.name, intake))),
    };
    Ok(Logs { logger: Logger::root(drain, slog::o!()), levels, lines })
}

fn sinks(service: Service, settings: &Settings) -> Result<Vec<Sink>, Error> {
    let mut sinks = Vec::new();
    if settings.log_stdout {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal();
        let writer: Box<dyn Write + Send> =
            if is_terminal { Box::new(terminal::Terminal(stdout)) } else { Box::new(stdout) };
        sinks.push(Sink { name: "stdout", writer });
    }
    if !settings.log_dir.as_os_str().is_empty() {
        let path = settings.log_dir.join(format!("{}.log", service.name));
        let file = file::LogFile::open(path.clone(), settings.log_file_bytes, settings.log_files);
        let writer = Box::new(file.map_err(|source| Error::LogFile { path, source })?);
        sinks.push(Sink { name: "file", writer });
    }
    Ok(sinks)
}

/// The fields that every line has: the service by its names in ECS, and what `OTEL_RESOURCE_ATTRIBUTES` adds.
fn constant_fields(otel: &Otel, resource: &Resource) -> BTreeMap<String, String> {
    let mut fields = otel.resource_attributes.clone();
    fields.retain(|name, _| !bridge::is_reserved(name) && name != "message");
    for (name, attributed) in [
        ("service.environment", "deployment.environment.name"),
        ("service.name", "service.name"),
        ("service.version", "service.version"),
    ] {
        fields.insert(name.to_owned(), attribute(resource, attributed).unwrap_or_default());
    }
    fields
}

/// Hands entries that are severe enough to every destination.
struct RootDrain {
    levels: Levels,
    lines: ecs::EcsDrain,
    /// slog asks for it; a drain that only queues is whole after a panic.
    records: Option<AssertUnwindSafe<RecordDrain>>,
}

impl Drain for RootDrain {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if !self.levels.enable(logger_name(record), &tracing_level(record.level())) {
            return Ok(());
        }
        let message = text(*record.msg());
        let (at, span) = (clock::now(), propagation::current_span());
        let entry = Entry { message: &message, at, span, record, values };
        self.lines.log(&entry);
        if let Some(records) = &self.records {
            records.log(&entry);
        }
        Ok(())
    }
}
