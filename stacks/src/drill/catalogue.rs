//! The drills: the alert, the trouble that causes it, and the service that it is about.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The alerts that can be drilled, in the order of a full run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[value(rename_all = "PascalCase")]
pub enum Alert {
    /// Too many requests are answered 5xx
    HighErrorRate,
    /// A service does not answer
    ServiceDown,
    /// Answers take too long
    HighLatency,
    /// Events or e-mails pile up
    QueueProcessingFailures,
    /// Spans do not reach their backend
    TelemetryLoss,
}

/// A service with a `/simulation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Payment,
    Mailer,
}

/// A part of a stack that a drill can stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Mailer,
    Traces,
}

/// The cause of an alert.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// A service simulates this body of `PUT /simulation`.
    Simulated(Service, &'static str),
    /// A part of the stack is stopped.
    Stopped(Part),
}

impl Alert {
    /// All drills.
    pub const ALL: [Self; 5] = [
        Self::HighErrorRate,
        Self::ServiceDown,
        Self::HighLatency,
        Self::QueueProcessingFailures,
        Self::TelemetryLoss,
    ];

    /// The trouble that causes the alert.
    pub(super) fn trouble(self) -> Trouble {
        match self {
            Self::HighErrorRate => Trouble::Simulated(Service::Payment, r#"{"failureRate": 0.9}"#),
            Self::ServiceDown => Trouble::Stopped(Part::Mailer),
            Self::HighLatency => Trouble::Simulated(Service::Payment, r#"{"latency": "3s"}"#),
            Self::QueueProcessingFailures => Trouble::Simulated(Service::Mailer, r#"{"paused": true}"#),
            Self::TelemetryLoss => Trouble::Stopped(Part::Traces),
        }
    }

    /// The trouble in words.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::HighErrorRate => "nine of ten attempts to settle a payment fail",
            Self::ServiceDown => "the mailer is stopped",
            Self::HighLatency => "settling a payment takes 3 s",
            Self::QueueProcessingFailures => "the mailer sends nothing",
            Self::TelemetryLoss => "the trace backend is stopped",
        }
    }

    /// The label `service` of the expected alert; alerts of other services can have the same name.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::HighErrorRate | Self::HighLatency => "payment-service",
            Self::ServiceDown | Self::QueueProcessingFailures => "email-service",
            Self::TelemetryLoss => "order-gateway",
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simulated(Service::Payment, simulation) => {
                write!(f, "payment: PUT /simulation {simulation}")
            }
            Self::Simulated(Service::Mailer, simulation) => write!(f, "mailer: PUT /simulation {simulation}"),
            Self::Stopped(Part::Mailer) => f.write_str("the mailer is stopped"),
            Self::Stopped(Part::Traces) => f.write_str("the trace backend is stopped"),
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The variants are the names of the alerts.
        f.pad(&format!("{self:?}"))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_drill_is_for_a_shipped_alert() {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus/rules");
        let files = fs::read_dir(rules).unwrap();
        let rules: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        for alert in Alert::ALL {
            assert!(rules.contains(&format!("- alert: {alert}\n")), "{alert}");
        }
    }
}
