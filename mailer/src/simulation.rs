//! The knobs of the simulated trouble with sending.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use service::simulation::{Knobs, Reader, in_words};

/// How sending behaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// Time of an attempt to send.
    #[serde(serialize_with = "in_words")]
    pub latency: Duration,
    /// Whether no attempt is begun: e-mails wait in the inbox.
    pub paused: bool,
    /// Share of attempts that fail before the transport is used, 0 to 1; such an attempt is repeated.
    pub failure_rate: f64,
}

/// The body of a request to change the knobs.
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
