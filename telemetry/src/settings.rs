//! The settings of telemetry. `OTEL_*` variables mean what the OpenTelemetry specification says, and a value that is
//! not supported is warned of; the settings of this crate are strict, and a bad value is an error.

mod otel;
mod reader;
mod variables;

pub(crate) use otel::{Export, Otel};
pub use variables::Variables;

use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "clap")]
use clap::builder::{OsStringValueParser, TypedValueParser};
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::Error;
use crate::propagation::BaggageKeys;

const SPOOL_DIR: &str = "var/spool";
const SPOOL_BYTES: &str = "268435456";
const SPOOL_AGE: &str = "24h";
const BAGGAGE: &str = "none";
const ENVIRONMENT: &str = "local";
const LEVELS: &str = "info,actix_server=warn";
const LOG_DIR: &str = "logs";
const LOG_FILE_BYTES: &str = "67108864";
const LOG_FILES: &str = "8";
const LOG_STDOUT: &str = "true";

/// Settings of the observability of one service. With the feature `clap`, flatten them into the service's own.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[cfg_attr(feature = "clap", command(next_help_heading = "Telemetry"))]
pub struct Settings {
    /// The standard variables of OpenTelemetry.
    #[cfg_attr(feature = "clap", command(flatten))]
    pub otel: Variables,

    /// Directory for requests that a receiver has not taken yet; empty keeps them in memory only.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = SPOOL_DIR, value_parser = OsStringValueParser::new().map(PathBuf::from)))]
    pub telemetry_spool_dir: PathBuf,

    /// Bytes that may wait on disk for each destination of each signal; the oldest make room, and are counted.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = SPOOL_BYTES, value_parser = positive))]
    pub telemetry_spool_bytes: usize,

    /// How long a request may wait there, such as 24h; what is older is dropped and counted.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = SPOOL_AGE, value_parser = duration))]
    pub telemetry_spool_age: Duration,

    /// Keys of W3C baggage that are carried along, such as tenant,session.id; all else is dropped on arrival.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = BAGGAGE))]
    pub baggage_allowed: BaggageKeys,

    /// `deployment.environment.name` of every signal, `service.environment` of every log line.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = ENVIRONMENT))]
    pub deployment_environment: String,

    /// Least severe log level, for all or by module: `info`, or `info,payment=debug,lapin=warn`.
    ///
    /// A level without a module holds for all modules that are not named.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = LEVELS, value_parser = levels))]
    pub log_level: Targets,

    /// Directory of the log file `<service name>.log`; empty writes no file.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = LOG_DIR, value_parser = OsStringValueParser::new().map(PathBuf::from)))]
    pub log_dir: PathBuf,

    /// Bytes after which the log file is renamed to `<service name>.log.1`, and a new one is begun.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = LOG_FILE_BYTES, value_parser = positive))]
    pub log_file_bytes: usize,

    /// Renamed log files that are kept.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = LOG_FILES, value_parser = positive))]
    pub log_files: usize,

    /// Whether log lines go to stdout, too: JSON, or text where that is a terminal.
    #[cfg_attr(feature = "clap", arg(long, env, default_value = LOG_STDOUT, action = clap::ArgAction::Set))]
    pub log_stdout: bool,
}

impl Settings {
    /// The settings in the environment, for a service that reads its own without clap.
    ///
    /// # Errors
    /// When a value is not valid. `OTEL_*` variables are never an error.
    pub fn from_env() -> Result<Self, Error> {
        Ok(Self {
            otel: Variables::from_env(),
            telemetry_spool_dir: own("TELEMETRY_SPOOL_DIR", SPOOL_DIR, path)?,
            telemetry_spool_bytes: own("TELEMETRY_SPOOL_BYTES", SPOOL_BYTES, positive)?,
            telemetry_spool_age: own("TELEMETRY_SPOOL_AGE", SPOOL_AGE, duration)?,
            baggage_allowed: own("BAGGAGE_ALLOWED", BAGGAGE, str::parse)?,
            deployment_environment: own("DEPLOYMENT_ENVIRONMENT", ENVIRONMENT, |value| Ok(value.to_owned()))?,
            log_level: own("LOG_LEVEL", LEVELS, levels)?,
            log_dir: own("LOG_DIR", LOG_DIR, path)?,
            log_file_bytes: own("LOG_FILE_BYTES", LOG_FILE_BYTES, positive)?,
            log_files: own("LOG_FILES", LOG_FILES, positive)?,
            log_stdout: own("LOG_STDOUT", LOG_STDOUT, |value| {
                value.parse().map_err(|_| "expected true or false".to_owned())
            })?,
        })
    }

    /// What the `OTEL_*` variables mean.
    pub(crate) fn otel(&self) -> Otel {
        let environment = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Otel::read(&self.otel, environment)
    }
}

#[expect(clippy::disallowed_methods, reason = "the settings struct reads its variables")]
fn own<T>(
    name: &'static str,
    default: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Error> {
    let value = std::env::var(name).unwrap_or_else(|_| default.to_owned());
    parse(&value).map_err(|reason| Error::Setting { name, reason })
}

fn path(value: &str) -> Result<PathBuf, String> {
    Ok(value.into())
}

/// The levels of `value`: one for all, and more for single modules.
pub(crate) fn levels(value: &str) -> Result<Targets, String> {
    // Targets takes a bare word that is no level for the name of a module, and turns all others off.
    let is_level = |part: &str| part.contains('=') || part.parse::<LevelFilter>().is_ok();
    match value.parse() {
        Ok(levels) if value.split(',').all(|part| is_level(part.trim())) => Ok(levels),
        _ => Err("expected a level and levels of modules, such as info,payment=debug".to_owned()),
    }
}

fn positive(value: &str) -> Result<usize, String> {
    match value.parse::<usize>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a positive whole number".to_owned()),
    }
}

fn duration(value: &str) -> Result<Duration, String> {
    humantime::parse_duration(value)
        .map_err(|error| format!("{error}: expected a duration such as 500ms or 10s"))
}

#[cfg(all(test, feature = "clap"))]
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
    fn an_empty_directory_means_no_file() {
        assert_eq!(parse(&["--log-dir="]).unwrap().log_dir, PathBuf::new());
    }

    #[test]
    fn a_bad_value_of_ours_names_the_variable() {
        for (argument, variable) in [
            ("--telemetry-spool-bytes=0", "TELEMETRY_SPOOL_BYTES"),
            ("--telemetry-spool-age=long", "TELEMETRY_SPOOL_AGE"),
            ("--baggage-allowed=a b", "BAGGAGE_ALLOWED"),
            ("--log-level=loud", "LOG_LEVEL"),
            ("--log-level=info,payment", "LOG_LEVEL"),
            ("--log-level=info,payment=loud", "LOG_LEVEL"),
        ] {
            let error = parse(&[argument]).unwrap_err();
            assert!(error.contains(variable), "{argument}: {error}");
        }
    }

    #[test]
    fn a_bad_value_of_opentelemetry_is_no_error() {
        for argument in ["--otel-traces-sampler=jaeger_remote", "--otel-bsp-schedule-delay=0"] {
            assert_eq!(parse(&[argument]).unwrap().otel().warnings.len(), 1, "{argument}");
        }
    }

    #[test]
    fn the_environment_gives_the_same_defaults() {
        let (parsed, read) = (parse(&[]).unwrap(), Settings::from_env().unwrap());
        assert_eq!(format!("{parsed:?}"), format!("{read:?}"));
    }
}
