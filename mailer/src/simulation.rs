//! Simulated trouble with sending, which can be changed while the mailer runs.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use service::simulation::{Knobs, Reader, in_words};

/// How sending behaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// Time that sending takes.
    #[serde(serialize_with = "in_words")]
    pub latency: Duration,
    /// Nothing new is sent: e-mails wait in the inbox.
    pub paused: bool,
    /// Share of attempts that fail before the transport is tried, 0 to 1; such an e-mail is tried again.
    pub failure_rate: f64,
}

/// A simulation as it is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    latency: Option<String>,
    paused: Option<bool>,
    failure_rate: Option<f64>,
}

impl Knobs for Simulation {
    type Wanted = Wanted;

    fn read(wanted: &Wanted, start: &Self, reader: &mut Reader) -> Self {
        Self {
            latency: reader.latency(wanted.latency.as_deref(), start.latency),
            paused: wanted.paused.unwrap_or(start.paused),
            failure_rate: reader.share("/failureRate", wanted.failure_rate, start.failure_rate),
        }
    }
}
