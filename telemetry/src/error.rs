//! What can go wrong while telemetry starts, and how an error is logged with its causes.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;

use crate::certificate;

/// Why telemetry could not start or answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting of this crate has a value that is not valid.
    #[error("cannot use the value of {name}: {reason}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What was expected.
        reason: String,
    },
    /// The log file could not be opened for appending.
    #[error("cannot open the log file {path}; check LOG_DIR and its permissions")]
    LogFile {
        /// The file, below `LOG_DIR`.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start the thread {name}")]
    Thread {
        /// The thread's name.
        name: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The OTLP exporter refused its settings.
    #[error("cannot set up the OTLP exporter; check the OTEL_EXPORTER_OTLP_* variables")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The directory for requests that wait could not be made or locked.
    #[error("cannot use the spool {path}; check TELEMETRY_SPOOL_DIR and its permissions")]
    Spool {
        /// The directory of one destination, below `TELEMETRY_SPOOL_DIR`.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// TLS is needed, and no certificate authority is trusted.
    #[error("cannot trust any certificate; install ca-certificates, or name a file of them in SSL_CERT_FILE")]
    NoTrustedCertificates(#[source] Option<rustls_native_certs::Error>),
    /// The TLS library refused its own defaults.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// A subscriber or log bridge was installed before ours.
    #[error("cannot install the subscriber: the process has one; make one Observability, and make it first")]
    AlreadyInstalled,
    /// The self-test of start-up failed: a context did not survive inject and extract.
    #[error("cannot propagate trace context: {0}; check that one version of opentelemetry is linked")]
    Propagation(&'static str),
    /// A metric was registered twice or with a bad name.
    #[error("cannot register a metric")]
    Metric(#[from] prometheus::Error),
}

/// An error and its causes in one line, outermost first: `cannot publish: connection refused`. What to do follows, where a
/// certificate was refused.
pub struct Chain<'a>(pub &'a (dyn StdError + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        match self.0.source().and_then(certificate::advice) {
            Some(advice) => write!(f, ": {advice}"),
            None => Ok(()),
        }
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
            "cannot open the log file logs/x.log; check LOG_DIR and its permissions: disk on fire"
        );
    }
}
