//! What telemetry can be told from outside. `OTEL_*` variables mean what the OpenTelemetry specification says.

mod export;

pub(crate) use export::{Compression, ExportSettings};

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use opentelemetry_sdk::trace::Sampler;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::propagation::BaggageKeys;

/// Settings of the observability of one service; flatten them into the service's own.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry")]
pub struct Settings {
    /// What leaves over OTLP.
    #[command(flatten)]
    pub export: ExportSettings,

    /// Which traces are recorded.
    #[arg(long, env, value_enum, default_value = "parentbased_always_on")]
    pub otel_traces_sampler: TracesSampler,

    /// Share of traces that a `traceidratio` sampler records, 0 to 1.
    #[arg(long, env, default_value = "1", value_parser = ratio)]
    pub otel_traces_sampler_arg: f64,

    /// Keys of W3C baggage that are carried along, such as tenant,session.id; all else is dropped on arrival.
    #[arg(long, env, default_value = "none")]
    pub baggage_allowed: BaggageKeys,

    /// `deployment.environment.name` of every span, `service.environment` of every log line.
    #[arg(long, env, default_value = "local")]
    pub deployment_environment: String,

    /// Least severe log level, for all or by module: `info`, or `info,payment=debug,sqlx=warn`.
    #[arg(long, env, default_value = "info,actix_server=warn", value_parser = levels)]
    pub log_level: Targets,

    /// Directory of the log file `<service name>.log`; empty writes no file.
    #[arg(long, env, default_value = "logs", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub log_dir: PathBuf,

    /// Bytes after which the log file is renamed to `<service name>.log.1`, and a new one is begun.
    #[arg(long, env, default_value = "67108864", value_parser = positive)]
    pub log_file_bytes: usize,

    /// Renamed log files that are kept.
    #[arg(long, env, default_value = "8", value_parser = positive)]
    pub log_files: usize,

    /// Whether log lines go to stdout, too: JSON, or text for people where that is a terminal.
    #[arg(long, env, default_value = "true", action = clap::ArgAction::Set)]
    pub log_stdout: bool,
}

/// Where a signal goes (`OTEL_TRACES_EXPORTER`, `OTEL_LOGS_EXPORTER`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Exporter {
    /// To OTLP/HTTP receivers.
    Otlp,
    /// Nowhere.
    None,
}

/// The samplers of the specification that need no server (`OTEL_TRACES_SAMPLER`).
#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TracesSampler {
    /// Every trace.
    AlwaysOn,
    /// No trace.
    AlwaysOff,
    /// A share of all traces, by trace id.
    #[value(name = "traceidratio")]
    TraceIdRatio,
    /// As the caller decided; every trace that starts here.
    #[value(name = "parentbased_always_on")]
    ParentBasedAlwaysOn,
    /// As the caller decided; no trace that starts here.
    #[value(name = "parentbased_always_off")]
    ParentBasedAlwaysOff,
    /// As the caller decided; a share of those that start here.
    #[value(name = "parentbased_traceidratio")]
    ParentBasedTraceIdRatio,
}

impl Settings {
    pub(crate) fn sampler(&self) -> Sampler {
        let share = Sampler::TraceIdRatioBased(self.otel_traces_sampler_arg);
        match self.otel_traces_sampler {
            TracesSampler::AlwaysOn => Sampler::AlwaysOn,
            TracesSampler::AlwaysOff => Sampler::AlwaysOff,
            TracesSampler::TraceIdRatio => share,
            TracesSampler::ParentBasedAlwaysOn => Sampler::ParentBased(Box::new(Sampler::AlwaysOn)),
            TracesSampler::ParentBasedAlwaysOff => Sampler::ParentBased(Box::new(Sampler::AlwaysOff)),
            TracesSampler::ParentBasedTraceIdRatio => Sampler::ParentBased(Box::new(share)),
        }
    }
}

/// A bare word that is no level would be taken for the name of a module, and all others fall silent.
fn levels(value: &str) -> Result<Targets, String> {
    let is_level = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    match value.parse() {
        Ok(levels) if value.split(',').all(|part| is_level(part.trim())) => Ok(levels),
        _ => Err("expected a level and levels of modules, such as info,payment=debug".to_owned()),
    }
}

fn milliseconds(value: &str) -> Result<Duration, String> {
    match value.parse::<u64>() {
        Ok(ms) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err("expected a positive number of milliseconds".to_owned()),
    }
}

fn positive(value: &str) -> Result<usize, String> {
    match value.parse::<usize>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a positive whole number".to_owned()),
    }
}

fn ratio(value: &str) -> Result<f64, String> {
    match value.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        telemetry: Settings,
    }

    fn parse(arguments: &[&str]) -> Result<Settings, String> {
        let line = [&["service"], arguments].concat();
        Command::try_parse_from(line).map(|c| c.telemetry).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_valid() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.export.traces_destinations(), ["http://localhost:4318/v1/traces"]);
        assert_eq!(settings.export.logs_destinations(), ["http://localhost:4318/v1/logs"]);
        assert_eq!(settings.export.otel_bsp_schedule_delay, Duration::from_secs(1));
    }

    #[test]
    fn the_endpoints_of_a_signal_are_taken_as_they_are_and_leave_the_other_alone() {
        let base = "--otel-exporter-otlp-endpoint=http://base:4318/";
        let named = "--otel-exporter-otlp-traces-endpoint=http://a:1/in, https://b/v1/traces";
        let settings = parse(&[base, named]).unwrap().export;
        assert_eq!(settings.traces_destinations(), ["http://a:1/in", "https://b/v1/traces"]);
        assert_eq!(settings.logs_destinations(), ["http://base:4318/v1/logs"]);
    }

    #[test]
    fn headers_are_decoded_and_bad_ones_are_refused_without_being_quoted() {
        let headers = |value: &str| {
            parse(&[&format!("--otel-exporter-otlp-headers={value}")]).unwrap().export.headers()
        };
        let read = headers("Authorization=Bearer%20s3cret, x-scope-orgid=shop").unwrap();
        assert_eq!(
            (&read["authorization"], &read["x-scope-orgid"]),
            (&"Bearer s3cret".parse().unwrap(), &"shop".parse().unwrap())
        );
        assert!(!format!("{read:?}").contains("s3cret"));
        for bad in ["s3cret", "na me=s3cret", "name=s3%0Acret"] {
            let error = headers(bad).unwrap_err().to_string();
            assert!(error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("s3"), "{error}");
        }
    }

    #[test]
    fn an_empty_directory_means_no_file() {
        assert_eq!(parse(&["--log-dir="]).unwrap().log_dir, PathBuf::new());
    }

    #[test]
    fn a_bad_value_names_the_variable() {
        for (argument, variable) in [
            ("--otel-exporter-otlp-endpoint=localhost", "OTEL_EXPORTER_OTLP_ENDPOINT"),
            ("--otel-exporter-otlp-logs-endpoint=http://a,b", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"),
            ("--telemetry-spool-bytes=0", "TELEMETRY_SPOOL_BYTES"),
            ("--telemetry-spool-age=long", "TELEMETRY_SPOOL_AGE"),
            ("--otel-traces-sampler-arg=2", "OTEL_TRACES_SAMPLER_ARG"),
            ("--otel-bsp-schedule-delay=0", "OTEL_BSP_SCHEDULE_DELAY"),
            ("--otel-bsp-max-queue-size=-1", "OTEL_BSP_MAX_QUEUE_SIZE"),
            ("--baggage-allowed=a b", "BAGGAGE_ALLOWED"),
            ("--log-level=loud", "LOG_LEVEL"),
            ("--log-level=info,payment", "LOG_LEVEL"),
            ("--log-level=info,payment=loud", "LOG_LEVEL"),
        ] {
            let error = parse(&[argument]).unwrap_err();
            assert!(error.contains(variable), "{argument}: {error}");
        }
    }
}
