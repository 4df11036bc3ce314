//! What can go wrong while telemetry starts, and how an error is logged with its causes.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

/// Why telemetry could not start or answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The log file could not be opened for appending.
    #[error("can't open the log file {path}: check LOG_DIR and its permissions")]
    LogFile {
        /// The file, below `LOG_DIR`.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The thread that writes log lines could not be started.
    #[error("can't start the log writer")]
    LogWriter(#[source] std::io::Error),
    /// The OTLP exporter refused its settings.
    #[error("can't set up the OTLP exporter: check the OTEL_EXPORTER_OTLP_* variables")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The self-test of start-up failed: a span is not encoded as the OTLP exporter does it.
    #[error(
        "spans are not encoded as opentelemetry-otlp does: is more than one version of opentelemetry linked?"
    )]
    Encoding,
    /// A header for the receiver has no name, or a name or value that can't be sent.
    #[error("OTEL_EXPORTER_OTLP_HEADERS is not name=value,name=value with values percent-encoded")]
    Headers,
    /// What waits for a receiver could not be kept or read.
    #[error("can't use the spool {path}: check TELEMETRY_SPOOL_DIR and its permissions")]
    Spool {
        /// The directory of one destination, below `TELEMETRY_SPOOL_DIR`.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The thread of a pipeline could not be started.
    #[error("can't start a pipeline")]
    Pipeline(#[source] std::io::Error),
    /// TLS is to be spoken, and no certificate authority is trusted.
    #[error("no certificates to trust: install ca-certificates, or name a file of them in SSL_CERT_FILE")]
    NobodyToTrust(#[source] Option<rustls_native_certs::Error>),
    /// The TLS library refused its own defaults.
    #[error("can't set up TLS")]
    Tls(#[source] rustls::Error),
    /// A subscriber or log bridge was installed before ours.
    #[error("tracing is already set up in this process: make one Observability, and make it first")]
    AlreadyInstalled,
    /// The self-test of start-up failed: a context did not survive inject and extract.
    #[error("trace context does not propagate ({0}): is more than one version of opentelemetry linked?")]
    Propagation(&'static str),
    /// A metric was registered twice or with a bad name.
    #[error("can't register a metric")]
    Metric(#[from] prometheus::Error),
}

/// An error and its causes in one line, outermost first: `can't publish: connection refused`.
pub struct Chain<'a>(pub &'a (dyn StdError + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl slog::Value for Chain<'_> {
    fn serialize(&self, _: &slog::Record<'_>, key: slog::Key, to: &mut dyn slog::Serializer) -> slog::Result {
        to.emit_arguments(key, &format_args!("{self}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause() {
        let error =
            Error::LogFile { path: "logs/x.log".into(), source: std::io::Error::other("disk on fire") };
        let line = Chain(&error).to_string();
        assert_eq!(
            line,
            "can't open the log file logs/x.log: check LOG_DIR and its permissions: disk on fire"
        );
    }
}
