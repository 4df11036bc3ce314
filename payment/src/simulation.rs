//! The simulated payment processor, which can be changed while payment runs.

use std::time::Duration;

use payment_api::simulation::{Reader, in_words};
use serde::{Deserialize, Serialize};
use telemetry::problem::Problem;

/// How the processor behaves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// Time that settling takes.
    #[serde(serialize_with = "in_words")]
    pub latency: Duration,
    /// Share of payments that are declined, 0 to 1.
    pub decline_rate: f64,
    /// Share of attempts that fail before anything is decided, 0 to 1.
    pub failure_rate: f64,
}

/// A simulation as it is asked for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wanted {
    latency: Option<String>,
    decline_rate: Option<f64>,
    failure_rate: Option<f64>,
}

impl Wanted {
    /// The simulation, with the values of `start` for what is left out.
    ///
    /// # Errors
    /// Names every field that is not acceptable.
    pub fn over(&self, start: Simulation) -> Result<Simulation, Problem> {
        let mut reader = Reader::default();
        let simulation = Simulation {
            latency: reader.latency(self.latency.as_deref(), start.latency),
            decline_rate: reader.share("/declineRate", self.decline_rate, start.decline_rate),
            failure_rate: reader.share("/failureRate", self.failure_rate, start.failure_rate),
        };
        reader.finish(simulation)
    }
}
