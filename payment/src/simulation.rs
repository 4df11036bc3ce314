//! The knobs of the simulated payment processor.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use service::simulation::{Knobs, Reader, in_words};

/// How the payment processor behaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// Time of a settlement.
    #[serde(serialize_with = "in_words")]
    pub latency: Duration,
    /// Share of payments that are declined, 0 to 1.
    pub decline_rate: f64,
    /// Share of attempts that fail before anything is decided, 0 to 1.
    pub failure_rate: f64,
}

/// The body of a request to change the knobs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    latency: Option<String>,
    decline_rate: Option<f64>,
    failure_rate: Option<f64>,
}

impl Knobs for Simulation {
    type Wanted = Wanted;

    fn read(wanted: &Wanted, start: &Self, reader: &mut Reader) -> Self {
        Self {
            latency: reader.latency(wanted.latency.as_deref(), start.latency),
            decline_rate: reader.share("/declineRate", wanted.decline_rate, start.decline_rate),
            failure_rate: reader.share("/failureRate", wanted.failure_rate, start.failure_rate),
        }
    }
}
